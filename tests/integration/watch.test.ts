/** `vsockbox watch` and the library's `files.watch`, with a real agent and this machine's kernel. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { connectAgent } from "vsockbox";
import { FEATURES } from "../../src/protocols/agent/hello.ts";
import { eventually, Running, ScratchDirectory, TestAgent, vsockbox } from "../support/binary.ts";
import { hostileAgent } from "../support/hostile-agent.ts";
import { expectShape, shapeOf } from "../support/json-shapes.ts";

let agent: TestAgent;
beforeAll(async () => {
  agent = await TestAgent.start();
});
afterAll(() => agent[Symbol.asyncDispose]());

const touch = (path: string) => closeSync(openSync(path, "w"));

/** A running `vsockbox watch`, whose lines a test reads. */
class RunningWatch implements AsyncDisposable {
  readonly running: Running;
  readonly #lines: AsyncGenerator<string>;

  constructor(args: readonly string[]) {
    this.running = new Running(["watch", ...args]);
    this.#lines = linesOf(this.running.process.stdout);
  }

  static async start(args: readonly string[]): Promise<RunningWatch> {
    const watch = new RunningWatch(args);
    await watch.running.says("watching");
    return watch;
  }

  async next(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error(`it ended: ${this.running.stderr}`);
    return value;
  }

  async take(count: number): Promise<string[]> {
    const lines: string[] = [];
    while (lines.length < count) lines.push(await this.next());
    return lines;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.running[Symbol.asyncDispose]();
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let text = "";
  for await (const chunk of stream) {
    text += new TextDecoder().decode(chunk);
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    yield* lines;
  }
}

/** Number of directories that the agent watches. */
function watchesOfAgent(): number {
  const directory = `/proc/${agent.running.pid}/fdinfo`;
  return readdirSync(directory)
    .map((fd) => {
      try {
        return readFileSync(`${directory}/${fd}`, "utf8");
      } catch {
        return "";
      }
    })
    .reduce((count, text) => count + (text.match(/^inotify wd:/gm)?.length ?? 0), 0);
}

const nothingIsWatched = () =>
  eventually("the agent has ended the watch", () => watchesOfAgent() === 0);

describe("watch", () => {
  test("prints a line a change, from the moment at which it is armed until Ctrl-C", async () => {
    using scratch = new ScratchDirectory();
    mkdirSync(scratch.file("src"));
    const target = `${agent.address}:${scratch.path}`;
    await using watch = await RunningWatch.start(["-r", target, "--exclude", ".git"]);
    expect(watch.running.stderr).toBe(`vsockbox: watching ${target} (2 directories)\n`);
    mkdirSync(scratch.file(".git"));
    touch(scratch.file("src/a"));
    appendFileSync(scratch.file("src/a"), "x");
    renameSync(scratch.file("src/a"), scratch.file("b"));
    mkdirSync(scratch.file("new/deep"), { recursive: true });
    touch(scratch.file("new/deep/c"));
    expect(await watch.take(6)).toEqual([
      `create     ${scratch.file("src/a")}`,
      `modify     ${scratch.file("src/a")}`,
      `rename     ${scratch.file("src/a")} -> ${scratch.file("b")}`,
      `create     ${scratch.file("new")}/`,
      `create     ${scratch.file("new/deep")}/`,
      `create     ${scratch.file("new/deep/c")}`,
    ]);
    rmSync(scratch.file("new"), { recursive: true });
    expect(await watch.take(3)).toEqual([
      `remove     ${scratch.file("new/deep/c")}`,
      `remove     ${scratch.file("new/deep")}/`,
      `remove     ${scratch.file("new")}/`,
    ]);
    expect(watchesOfAgent()).toBe(2);
    watch.running.process.kill("SIGINT");
    expect(await watch.running.process.exited).toBe(130);
    expect(watch.running.stderr).toBe(`vsockbox: watching ${target} (2 directories)\n`);
    await nothingIsWatched();
  });

  test("ends with its connection, and the agent's watch with it", async () => {
    using scratch = new ScratchDirectory();
    await using watch = await RunningWatch.start([`${agent.address}:${scratch.path}`]);
    expect(watchesOfAgent()).toBe(1);
    watch.running.process.kill("SIGKILL");
    await nothingIsWatched();
  });

  test("ends when the watched directory is removed", async () => {
    using scratch = new ScratchDirectory();
    mkdirSync(scratch.file("a"));
    await using watch = await RunningWatch.start(["-r", `${agent.address}:${scratch.file("a")}`]);
    rmSync(scratch.file("a"), { recursive: true });
    expect(await watch.next()).toBe(`remove     ${scratch.file("a")}/`);
    expect(await watch.running.process.exited).toBe(0);
  });

  test("prints objects with --json, and ends after the first change with --once", async () => {
    using scratch = new ScratchDirectory();
    touch(scratch.file("a"));
    const target = `${agent.address}:${scratch.path}`;
    await using watch = new RunningWatch(["--json", "--once", target]);
    const ready: unknown = JSON.parse(await watch.next());
    expectShape(ready, shapeOf("watch, when it is armed"));
    expect(ready).toMatchObject({ event: "ready", path: scratch.path, directories: 1 });
    renameSync(scratch.file("a"), scratch.file("b"));
    const change: unknown = JSON.parse(await watch.next());
    expectShape(change, shapeOf("watch"));
    expect(change).toEqual({
      target: agent.address,
      event: "rename",
      path: scratch.file("b"),
      from: scratch.file("a"),
      is_directory: false,
    });
    expect(await watch.running.process.exited).toBe(0);
    expect(watch.running.stderr).toBe("");
    await nothingIsWatched();
  });

  test("of several paths reports those that cannot be watched, and watches the others", async () => {
    using scratch = new ScratchDirectory();
    await using other = await TestAgent.start();
    const missing = `${agent.address}:${scratch.file("none")}`;
    const targets = [agent.address, other.address].map((address) => `${address}:${scratch.path}`);
    await using watch = new RunningWatch(["--once", missing, ...targets]);
    for (const target of targets) await watch.running.says(`watching ${target} (1 directory)`);
    expect(watch.running.stderr).toContain(
      `vsockbox: cannot watch ${scratch.file("none")}: no such file or directory (ENOENT)`,
    );
    touch(scratch.file("a"));
    expect(await watch.next()).toMatch(/^create {5}unix:\/.*\/agent\.sock:\/.*\/a$/);
    expect(await watch.running.process.exited).toBe(74);
  });

  test("of an agent that cannot watch is an error", async () => {
    using scratch = new ScratchDirectory();
    const path = scratch.file("old.sock");
    const features = FEATURES.filter((feature) => feature !== "watch");
    using _old = hostileAgent(path, (channel) => channel.finish({}), { features });
    expect(await vsockbox(["watch", `unix:${path}:/srv`])).toMatchObject({
      status: 69,
      stderr:
        "vsockbox: cannot watch /srv: this agent cannot watch files (EOPNOTSUPP)\n" +
        "  hint: run a newer `vsockbox agent` in the guest\n",
    });
  });

  test("of an agent that names other files is an error", async () => {
    using scratch = new ScratchDirectory();
    const path = scratch.file("hostile.sock");
    using _hostile = hostileAgent(path, (channel) => {
      void channel.sendRecord({ event: "ready" });
      void channel.sendRecord({ event: "create", path: "../../etc/passwd" });
    });
    const { status, stdout, stderr } = await vsockbox(["watch", `unix:${path}:/srv`]);
    expect({ status, stdout }).toEqual({ status: 65, stdout: "" });
    expect(stderr).toContain("path is not a path below the watched one");
  });

  test("counts directories that the agent may not read", async () => {
    using scratch = new ScratchDirectory();
    mkdirSync(scratch.file("closed"), 0o000);
    const withoutRights = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    const through = process.getuid?.() === 0 ? withoutRights : [];
    await using limited = await TestAgent.start([], { through });
    const target = `${limited.address}:${scratch.path}`;
    await using watch = await RunningWatch.start(["--recursive", target]);
    expect(watch.running.stderr).toContain("(1 directory, 1 cannot be read)");
    touch(scratch.file("a"));
    expect(await watch.next()).toBe(`create     ${scratch.file("a")}`);
  });

  test("names the kernel's limit if a user has no more watches", async () => {
    using scratch = new ScratchDirectory();
    mkdirSync(scratch.file("a/b/c"), { recursive: true });
    const limit = 'echo 2 > /proc/sys/user/max_inotify_watches; exec "$@"';
    const through = ["unshare", "-Ur", "sh", "-c", limit, "sh"];
    await using limited = await TestAgent.start([], { through });
    const { status, stderr } = await vsockbox([
      "watch",
      "-r",
      `${limited.address}:${scratch.path}`,
    ]);
    expect(status).toBe(74);
    expect(stderr).toContain("this user has as many watches as the kernel allows (ENOSPC)");
    expect(stderr).toContain("sysctl fs.inotify.max_user_watches=");
  });
});

describe("files.watch of the library", () => {
  test("is armed when it returns, and its iteration ends with it", async () => {
    using scratch = new ScratchDirectory();
    mkdirSync(scratch.file("src"));
    await using connected = await connectAgent(agent.address);
    using watch = await connected.files.watch(scratch.path, { recursive: true });
    expect(watch.directories).toBe(2);
    const name = Buffer.concat([Buffer.from(scratch.file("src/")), Buffer.of(0xff)]);
    closeSync(openSync(name, "w"));
    for await (const { kind, path, pathBytes, from, isDirectory } of watch) {
      expect({ kind, from, isDirectory }).toEqual({
        kind: "create",
        from: undefined,
        isDirectory: false,
      });
      expect(path).toBe(scratch.file("src/\uFFFD"));
      expect(Buffer.from(pathBytes ?? [])).toEqual(name);
      break;
    }
    await nothingIsWatched();
  });

  test("ends when it is closed while a change is awaited", async () => {
    using scratch = new ScratchDirectory();
    await using connected = await connectAgent(agent.address);
    const watch = await connected.files.watch(scratch.path);
    const changes = Array.fromAsync(watch);
    watch.close();
    expect(await changes).toEqual([]);
    await nothingIsWatched();
  });

  test("of a missing path is the agent's error", async () => {
    await using connected = await connectAgent(agent.address);
    expect(connected.files.watch("/nowhere/at/all")).rejects.toMatchObject({
      code: "IO",
      errno: "ENOENT",
    });
  });
});
