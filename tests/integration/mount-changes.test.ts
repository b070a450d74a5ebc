/**
 * Changes of an exported directory on the host, as programs of the guest see them: `vsockbox export` and
 * `vsockbox mount` over a Unix socket, in a mount namespace of the test, with this machine's kernel.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BINARY, eventually, Running, ScratchDirectory, TestAgent } from "../support/binary.ts";

const scratch = new ScratchDirectory();
const root = scratch.file("host");
const mounted = scratch.file("guest");
const socket = scratch.file("export.sock");

const UNSHARE = ["unshare", "--mount", "--propagation", "private"];
const canMount = existsSync("/dev/fuse") && Bun.spawnSync([...UNSHARE, "true"]).exitCode === 0;
if (!canMount) console.warn(`SKIPPED: mounts: /dev/fuse or \`${UNSHARE.join(" ")}\` is missing`);

let host: Running;
let guest: Running;
/** An agent beside the mount, in its mount namespace: commands and watches of the guest. */
let agent: TestAgent;

const inGuest = () => ["nsenter", "--mount", `--target=${guest.pid}`];

beforeAll(async () => {
  if (!canMount) return;
  for (const directory of [root, join(root, "src"), mounted]) mkdirSync(directory);
  writeFileSync(join(root, "src/main"), "one\n");
  host = new Running(["export", root, "--listen", `unix:${socket}`]);
  await host.says("listening on");
  guest = new Running(["mount", `unix:${socket}`, mounted], {
    through: UNSHARE,
  });
  await mounts();
  agent = await TestAgent.start([], { through: inGuest() });
});
afterAll(async () => {
  if (!canMount) return;
  await agent[Symbol.asyncDispose]();
  await guest[Symbol.asyncDispose]();
  await host[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

const mounts = () =>
  eventually("the export is mounted", () =>
    run("stat", "-f", "-c", "%T", mounted).startsWith("fuse"),
  );

/** The output of a command in the guest. */
function run(...command: string[]): string {
  const { stdout, stderr } = Bun.spawnSync([...inGuest(), ...command]);
  return `${stdout.toString()}${stderr.toString()}`;
}

/** A watch in the guest, of files of the mount: inotify of the guest's kernel. */
class GuestWatch implements AsyncDisposable {
  readonly #running: Running;
  #lines: string[] = [];

  private constructor(path: string) {
    this.#running = new Running(["watch", "--recursive", `${agent.address}:${path}`]);
    void this.#read();
  }

  static async start(path = mounted): Promise<GuestWatch> {
    const watch = new GuestWatch(path);
    await watch.#running.says("watching");
    return watch;
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#running.process.stdout) {
      this.#lines.push(...decoder.decode(chunk).split("\n").slice(0, -1));
    }
  }

  /** Waits for an event of a path of the mount. */
  async sees(path: string): Promise<string> {
    const isOf = (line: string) => line.endsWith(` ${join(mounted, path)}`);
    await eventually(`an event of ${path} in the guest`, () => this.#lines.some(isOf));
    return this.#lines.find(isOf)?.split(" ")[0] ?? "";
  }

  forget(): void {
    this.#lines = [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running[Symbol.asyncDispose]();
  }
}

describe.skipIf(!canMount)("a change on the host", () => {
  test("of a file's content wakes inotify in the guest, which reads the new content", async () => {
    await using watch = await GuestWatch.start();
    expect(run("cat", join(mounted, "src/main"))).toBe("one\n");
    writeFileSync(join(root, "src/main"), "two, longer\n");
    expect(await watch.sees("src/main")).toBe("modify");
    expect(run("cat", join(mounted, "src/main"))).toBe("two, longer\n");
    watch.forget();
    // Of the same length, as an edit of one character.
    writeFileSync(join(root, "src/main"), "two, LONGER\n");
    await watch.sees("src/main");
    expect(run("cat", join(mounted, "src/main"))).toBe("two, LONGER\n");
  });

  test("of the same length is read in the guest, also if the guest changes the mode meanwhile", () => {
    const path = join(mounted, "src/mode");
    for (const round of [1, 2, 3, 4, 5]) {
      writeFileSync(join(root, "src/mode"), "before");
      expect(run("cat", path)).toBe("before");
      writeFileSync(join(root, "src/mode"), "AFTER!");
      // chmod(2) alone: the kernel asks for no attributes before it, as it would for the command of that name.
      const chmod = `require("node:fs").chmodSync(${JSON.stringify(path)}, 0o60${round})`;
      expect(run(process.execPath, "-e", chmod)).toBe("");
      expect(run("cat", path)).toBe("AFTER!");
    }
    rmSync(join(root, "src/mode"));
  });

  test("by an editor, which replaces the file, is seen as well", async () => {
    await using watch = await GuestWatch.start();
    expect(run("cat", join(mounted, "src/main"))).not.toBe("replaced\n");
    writeFileSync(join(root, "src/.main.swp"), "replaced\n");
    renameSync(join(root, "src/.main.swp"), join(root, "src/main"));
    await watch.sees("src/main");
    expect(run("cat", join(mounted, "src/main"))).toBe("replaced\n");
  });

  test("creates and removes files that were missing in the guest", async () => {
    await using watch = await GuestWatch.start();
    expect(run("cat", join(mounted, "src/new"))).toContain("No such file");
    writeFileSync(join(root, "src/new"), "new\n");
    await watch.sees("src/new");
    expect(run("cat", join(mounted, "src/new"))).toBe("new\n");
    expect(run("ls", join(mounted, "src"))).toBe("main\nnew\n");
    watch.forget();
    rmSync(join(root, "src/new"));
    // The directory of the removed file.
    await watch.sees("src/");
    expect(run("cat", join(mounted, "src/new"))).toContain("No such file");
    expect(run("ls", join(mounted, "src"))).toBe("main\n");
  });

  test("in a directory that was made on the host is seen", async () => {
    await using watch = await GuestWatch.start();
    mkdirSync(join(root, "made/deep"), { recursive: true });
    await watch.sees("made/");
    await using inside = await GuestWatch.start(join(mounted, "made"));
    writeFileSync(join(root, "made/deep/file"), "1");
    await inside.sees("made/deep/file");
  });
});

test.skipIf(!canMount)(
  "a reloader in the guest runs its command again after each edit on the host",
  async () => {
    const log = scratch.file("reloads");
    const main = join(mounted, "src/main");
    // As entr and nodemon do: run, wait for an event of inotify, run again.
    const wait = `"${BINARY}" watch --once --recursive ${agent.address}:${mounted} >/dev/null 2>&1`;
    const line = `while cat ${main} >> ${log}; do ${wait} || exit; done`;
    writeFileSync(join(root, "src/main"), "0\n");
    const env = { ...process.env, VSOCKBOX_NO_VSOCK: "1" };
    const reloader = Bun.spawn([...inGuest(), "sh", "-c", line], { env });
    try {
      const lines = () => (existsSync(log) ? readFileSync(log, "utf8") : "");
      for (let edit = 1; edit <= 3; edit++) {
        await eventually(`run ${edit}`, () => lines().includes(`${edit - 1}\n`));
        // The reloader may not have armed its watch yet.
        await eventually(`edit ${edit} is seen`, () => {
          writeFileSync(join(root, "src/main"), `${edit}\n`);
          return lines().includes(`${edit}\n`);
        });
      }
    } finally {
      reloader.kill();
      await reloader.exited;
    }
  },
);
