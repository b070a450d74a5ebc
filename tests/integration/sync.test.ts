/** `vsockbox sync`: a mirror of a local directory, with a real agent. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { reasonOf } from "../../src/errors.ts";
import { FEATURES } from "../../src/protocols/agent/hello.ts";
import { eventually, Running, ScratchDirectory, TestAgent, vsockbox } from "../support/binary.ts";
import { hostileAgent } from "../support/hostile-agent.ts";
import { expectShape, shapeOf } from "../support/json-shapes.ts";

let agent: TestAgent;
beforeAll(async () => {
  agent = await TestAgent.start();
});
afterAll(() => agent[Symbol.asyncDispose]());

/** A source and a destination, both in a directory of the test. */
class Mirror implements Disposable {
  readonly scratch = new ScratchDirectory();
  readonly source = this.scratch.file("source");
  readonly destination = this.scratch.file("mirror");
  readonly target = `${agent.address}:${this.destination}`;

  constructor() {
    mkdirSync(join(this.source, "d/deep"), { recursive: true });
    writeFileSync(join(this.source, "a"), "one\n");
    writeFileSync(join(this.source, "d/deep/b"), "two\n");
    symlinkSync("d/deep/b", join(this.source, "link"));
    writeFileSync(Buffer.concat([Buffer.from(`${this.source}/`), Buffer.of(0xff, 0x0a)]), "bytes");
  }

  run(...args: string[]) {
    return vsockbox(["sync", ...args, this.source, this.target]);
  }

  /** Whether both sides have the same names, kinds, contents, modes and times. */
  isEqual(): boolean {
    try {
      return Bun.deepEquals(listing(this.source), listing(this.destination));
    } catch (thrown) {
      // A name that is removed or renamed while it is listed.
      if (reasonOf(thrown).errno !== "ENOENT") throw thrown;
      return false;
    }
  }

  [Symbol.dispose](): void {
    this.scratch[Symbol.dispose]();
  }
}

/** Everything of a tree that a mirror keeps. */
function listing(root: string): Record<string, unknown> {
  const facts: Record<string, unknown> = {};
  const visit = (directory: Buffer) => {
    for (const name of readdirSync(directory, { encoding: "buffer" })) {
      const path = Buffer.concat([directory, Buffer.from("/"), name]);
      const status = lstatSync(path);
      const key = path.subarray(root.length).toString("latin1");
      const mode = status.mode.toString(8);
      if (status.isDirectory()) {
        facts[key] = { mode };
        visit(path);
      } else if (status.isSymbolicLink()) facts[key] = readlinkSync(path);
      else facts[key] = { mode, mtime: status.mtimeMs, text: readFileSync(path, "latin1") };
    }
  };
  if (existsSync(root)) visit(Buffer.from(root));
  return facts;
}

describe("sync", () => {
  test("makes a mirror, then copies only what differs", async () => {
    using mirror = new Mirror();
    expect(await mirror.run()).toEqual({
      status: 0,
      stdout: "",
      stderr: "vsockbox: 3 files, 1 link, 13 B\n",
    });
    expect(listing(mirror.destination)).toEqual(listing(mirror.source));
    const kept = statSync(join(mirror.destination, "d/deep/b")).ino;
    expect((await mirror.run()).stderr).toBe("vsockbox: 0 files, 0 B\n");
    writeFileSync(join(mirror.source, "a"), "changed\n");
    rmSync(join(mirror.source, "link"));
    symlinkSync("elsewhere", join(mirror.source, "link"));
    chmodSync(join(mirror.source, "d"), 0o700);
    expect((await mirror.run()).stderr).toBe("vsockbox: 1 file, 1 link, 8 B\n");
    expect(listing(mirror.destination)).toEqual(listing(mirror.source));
    expect(statSync(join(mirror.destination, "d/deep/b")).ino).toBe(kept);
  });

  test("removes only with --delete, and nothing beside the destination", async () => {
    using mirror = new Mirror();
    await mirror.run();
    const outside = mirror.scratch.file("outside");
    mkdirSync(outside);
    writeFileSync(join(outside, "kept"), "kept");
    writeFileSync(join(mirror.destination, "extra"), "x");
    mkdirSync(join(mirror.destination, "old/tree"), { recursive: true });
    symlinkSync(outside, join(mirror.destination, "old/out"));
    symlinkSync(outside, join(mirror.destination, "out"));
    expect((await mirror.run()).status).toBe(0);
    expect(existsSync(join(mirror.destination, "extra"))).toBe(true);
    const dry = await mirror.run("--delete", "--dry-run");
    expect(dry).toEqual({
      status: 0,
      stdout: "remove extra\nremove old\nremove out\n",
      stderr: "",
    });
    expect(existsSync(join(mirror.destination, "extra"))).toBe(true);
    expect((await mirror.run("--delete")).stderr).toBe("vsockbox: 0 files, 0 B, 5 removed\n");
    expect(listing(mirror.destination)).toEqual(listing(mirror.source));
    expect(readdirSync(outside)).toEqual(["kept"]);
  });

  test("replaces a directory by a file, and the reverse, only with --delete", async () => {
    using mirror = new Mirror();
    mkdirSync(join(mirror.destination, "a/in"), { recursive: true });
    writeFileSync(join(mirror.destination, "d"), "a file");
    const refused = await mirror.run();
    expect(refused.status).toBe(74);
    for (const name of ["a", "d"]) {
      expect(refused.stderr).toContain(
        `cannot copy ${name}: one side has a directory there, and the other a file; --delete replaces it`,
      );
    }
    expect(existsSync(join(mirror.destination, "a/in"))).toBe(true);
    expect((await mirror.run("--delete")).status).toBe(0);
    expect(listing(mirror.destination)).toEqual(listing(mirror.source));
  });

  test("compares contents with --checksum", async () => {
    using mirror = new Mirror();
    await mirror.run();
    const { atime, mtime } = statSync(join(mirror.source, "a"));
    writeFileSync(join(mirror.destination, "a"), "ONE\n");
    utimesSync(join(mirror.source, "a"), atime, mtime);
    utimesSync(join(mirror.destination, "a"), atime, mtime);
    await mirror.run();
    expect(readFileSync(join(mirror.destination, "a"), "utf8")).toBe("ONE\n");
    expect((await mirror.run("--checksum")).status).toBe(0);
    expect(readFileSync(join(mirror.destination, "a"), "utf8")).toBe("one\n");
  });

  test("leaves excluded names alone on both sides", async () => {
    using mirror = new Mirror();
    mkdirSync(join(mirror.destination, "d"), { recursive: true });
    writeFileSync(join(mirror.destination, "d/x.log"), "guest");
    writeFileSync(join(mirror.source, "y.log"), "host");
    await mirror.run("--delete", "--exclude", "*.log", "--exclude", "deep");
    expect(readdirSync(join(mirror.destination, "d"))).toEqual(["x.log"]);
    expect(existsSync(join(mirror.destination, "y.log"))).toBe(false);
    expect(existsSync(join(mirror.destination, "a"))).toBe(true);
  });

  test("prints objects of the documented shape with --json", async () => {
    using mirror = new Mirror();
    const [planned] = objects((await mirror.run("--json", "--dry-run")).stdout);
    expectShape(planned, shapeOf("sync --dry-run"));
    const [synced] = objects((await mirror.run("--json")).stdout);
    expectShape(synced, shapeOf("sync"));
    expect(synced).toMatchObject({ event: "synced", files: 3, links: 1, removed: 0 });
  });

  test("refuses what is not a mirror", async () => {
    using mirror = new Mirror();
    const toRoot = await vsockbox(["sync", "--delete", mirror.source, `${agent.address}:/`]);
    expect(toRoot).toMatchObject({ status: 64 });
    expect(toRoot.stderr).toContain("the destination / is the root of the guest");
    const dots = `${agent.address}:/tmp/..`;
    expect((await vsockbox(["sync", "--delete", mirror.source, dots])).status).toBe(64);
    const missing = await vsockbox(["sync", mirror.scratch.file("none"), mirror.target]);
    expect(missing).toMatchObject({ status: 74 });
    const single = await vsockbox(["sync", join(mirror.source, "a"), mirror.target]);
    expect(single.stderr).toContain("not a directory (ENOTDIR)");
    writeFileSync(mirror.destination, "");
    expect((await mirror.run()).stderr).toContain("is not a directory");
  });

  test("removes nothing through an agent that cannot confine it", async () => {
    using mirror = new Mirror();
    const path = mirror.scratch.file("old.sock");
    const asked: unknown[] = [];
    using _old = hostileAgent(
      path,
      (channel, { op }) => {
        asked.push(op);
        channel.finish({});
      },
      { features: FEATURES.filter((feature) => feature !== "remove-beneath") },
    );
    const result = await vsockbox(["sync", "--delete", mirror.source, `unix:${path}:/srv`]);
    expect(result).toMatchObject({ status: 69 });
    expect(result.stderr).toContain("this agent cannot confine removals to a directory");
    expect(asked).toEqual([]);
  });
});

function objects(stdout: string): unknown[] {
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown);
}

describe("sync out of a guest", () => {
  const download = (mirror: Mirror, ...args: string[]) =>
    vsockbox(["sync", ...args, `${agent.address}:${mirror.source}`, mirror.destination]);

  test("makes a mirror, then copies only what differs", async () => {
    using mirror = new Mirror();
    chmodSync(join(mirror.source, "d"), 0o500);
    expect((await download(mirror)).stderr).toBe("vsockbox: 3 files, 1 link, 13 B\n");
    expect(listing(mirror.destination)).toEqual(listing(mirror.source));
    expect((await download(mirror)).stderr).toBe("vsockbox: 0 files, 0 B\n");
    writeFileSync(join(mirror.source, "a"), "changed\n");
    rmSync(join(mirror.source, "link"));
    symlinkSync("elsewhere", join(mirror.source, "link"));
    writeFileSync(join(mirror.destination, "extra"), "");
    expect((await download(mirror)).stderr).toBe("vsockbox: 1 file, 1 link, 8 B\n");
    expect((await download(mirror, "--delete")).stderr).toBe("vsockbox: 0 files, 0 B, 1 removed\n");
    expect(listing(mirror.destination)).toEqual(listing(mirror.source));
  });

  test("goes through no link of the destination", async () => {
    using mirror = new Mirror();
    const outside = mirror.scratch.file("outside");
    mkdirSync(join(outside, "deep"), { recursive: true });
    mkdirSync(mirror.destination);
    symlinkSync(outside, join(mirror.destination, "d"));
    const refused = await download(mirror);
    expect(refused.status).toBe(74);
    expect(refused.stderr).toContain("cannot copy d: one side has a directory there");
    expect((await download(mirror, "--delete")).status).toBe(0);
    expect(readdirSync(join(outside, "deep"))).toEqual([]);
    expect(listing(mirror.destination)).toEqual(listing(mirror.source));
  });

  test("keeps set-ID bits away, and names what it cannot copy", async () => {
    using mirror = new Mirror();
    chmodSync(join(mirror.source, "a"), 0o4755);
    expect(Bun.spawnSync(["mkfifo", join(mirror.source, "fifo")]).exitCode).toBe(0);
    const result = await download(mirror);
    expect(result.status).toBe(74);
    expect(result.stderr).toContain(
      "cannot copy fifo: devices, FIFOs and sockets cannot be copied",
    );
    expect(statSync(join(mirror.destination, "a")).mode & 0o7777).toBe(0o755);
    expect((await download(mirror, "--exclude", "fifo")).status).toBe(0);
  });

  test("refuses what is not a mirror", async () => {
    using mirror = new Mirror();
    const source = `${agent.address}:${mirror.source}`;
    expect((await vsockbox(["sync", "--delete", source, "/"])).stderr).toContain(
      "the destination / is the root of this machine",
    );
    const file = `${source}/a`;
    expect((await vsockbox(["sync", file, mirror.destination])).status).toBe(64);
    expect((await vsockbox(["sync", `${source}/none`, mirror.destination])).status).toBe(74);
    expect((await vsockbox(["sync", mirror.source, mirror.destination])).status).toBe(64);
    expect((await vsockbox(["sync", source, `${agent.address}:/tmp/x`])).status).toBe(64);
  });

  test("accepts no names from the guest that lead out of the destination, and no tree without an end", async () => {
    using mirror = new Mirror();
    const path = mirror.scratch.file("hostile.sock");
    let name = "../out";
    using _hostile = hostileAgent(path, async (channel, { op }) => {
      if (op === "list")
        await channel.sendRecord({ name, type: "directory", mode: 0o755, size: 0 });
      channel.finish({ type: "directory", mode: 0o755, size: 0 });
    });
    const words = ["sync", `unix:${path}:/srv`, mirror.destination];
    expect(await vsockbox(words)).toMatchObject({ status: 65 });
    name = "x".repeat(200);
    const endless = await vsockbox(words);
    expect(endless).toMatchObject({ status: 65 });
    expect(endless.stderr).toContain("a larger or deeper tree than it may");
    expect(existsSync(mirror.destination)).toBe(false);
  });

  test("with --watch follows each change in the guest", async () => {
    using mirror = new Mirror();
    const source = `${agent.address}:${mirror.source}`;
    const args = ["sync", "--watch", "--delete", "--debounce", "20ms"];
    await using running = new Running([...args, source, mirror.destination]);
    await running.says(`vsockbox: watching ${source} (3 directories)\n`);
    await running.says("vsockbox: 3 files");
    mkdirSync(join(mirror.source, "new/er"), { recursive: true });
    writeFileSync(join(mirror.source, "new/er/file"), "new");
    rmSync(join(mirror.source, "d"), { recursive: true });
    await eventually("both sides are equal", () => mirror.isEqual());
    renameSync(join(mirror.source, "new"), join(mirror.source, "moved"));
    await eventually("both sides are equal", () => mirror.isEqual());
    running.process.kill("SIGTERM");
    expect(await running.process.exited).toBe(143);
  });
});

/** The objects that a command prints, as they come. */
async function* objectsOf({ process }: Running): AsyncGenerator<unknown, undefined, undefined> {
  let text = "";
  for await (const chunk of process.stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (text + chunk).split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) yield JSON.parse(line);
  }
  return undefined;
}

describe("sync --watch", () => {
  test("mirrors each change until Ctrl-C", async () => {
    using mirror = new Mirror();
    const args = ["sync", "--watch", "--delete", "--debounce", "20ms"];
    await using running = new Running([...args, mirror.source, mirror.target]);
    await running.says(`vsockbox: watching ${mirror.source} (3 directories)\n`);
    const isMirrored = () => eventually("both sides are equal", () => mirror.isEqual());
    await running.says("vsockbox: 3 files");
    expect(mirror.isEqual()).toBe(true);
    writeFileSync(join(mirror.source, "a"), "again\n");
    await isMirrored();
    mkdirSync(join(mirror.source, "new/er"), { recursive: true });
    writeFileSync(join(mirror.source, "new/er/file"), "new");
    await isMirrored();
    renameSync(join(mirror.source, "new"), join(mirror.source, "d/moved"));
    await isMirrored();
    rmSync(join(mirror.source, "d"), { recursive: true });
    await isMirrored();
    expect(readdirSync(mirror.destination).length).toBe(3);
    running.process.kill("SIGINT");
    expect(await running.process.exited).toBe(130);
  });

  test("keeps what is removed without --delete, and prints an object a change", async () => {
    using mirror = new Mirror();
    await using running = new Running(["sync", "--watch", "--json", mirror.source, mirror.target]);
    const printed = objectsOf(running);
    const armed = (await printed.next()).value;
    expectShape(armed, shapeOf("sync --watch, when it is armed"));
    expect(armed).toMatchObject({ event: "ready", path: mirror.source, directories: 3 });
    expect((await printed.next()).value).toMatchObject({ event: "synced", files: 3 });
    rmSync(join(mirror.source, "d"), { recursive: true });
    expect((await printed.next()).value).toMatchObject({ files: 0, removed: 0 });
    writeFileSync(join(mirror.source, "e"), "e");
    expect((await printed.next()).value).toMatchObject({ files: 1, removed: 0 });
    expect(existsSync(join(mirror.destination, "d/deep/b"))).toBe(true);
  });

  test("ends when the source is removed, without emptying the mirror's parent, or the agent ends", async () => {
    using mirror = new Mirror();
    await using running = new Running(["sync", "--watch", mirror.source, mirror.target]);
    await running.says("vsockbox: 3 files");
    rmSync(mirror.source, { recursive: true });
    expect(await running.process.exited).toBe(74);
    expect(existsSync(join(mirror.destination, "a"))).toBe(true);
    using second = new Mirror();
    await using other = await TestAgent.start();
    const target = `${other.address}:${second.destination}`;
    await using orphan = new Running(["sync", "--watch", second.source, target]);
    await orphan.says("vsockbox: 3 files");
    other.running.process.kill("SIGKILL");
    expect(await orphan.process.exited).toBe(255);
  });
});
