/** `cp` and its kin between real file systems, over Unix sockets. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expectShape, shapeOf } from "../support/json-shapes.ts";
import { leavePart, partOf, partSize, unnamedBytes } from "../support/unfinished.ts";
import {
  eventually,
  Running,
  shell,
  ScratchDirectory,
  TestAgent,
  vsockbox,
} from "../support/binary.ts";

let agent: TestAgent;
let scratch: ScratchDirectory;
/** A fresh pair of directories, "the guest's" and ours. */
let there: string;
let here: string;
let count = 0;

beforeAll(async () => {
  agent = await TestAgent.start();
  scratch = new ScratchDirectory();
});
beforeEach(() => {
  there = scratch.file(`there-${++count}`);
  here = scratch.file(`here-${count}`);
  mkdirSync(there);
  mkdirSync(here);
});
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

const remote = (...names: string[]) => `${agent.address}:${join(there, ...names)}`;
const local = (...names: string[]) => join(here, ...names);
const text = (path: string) => readFileSync(path, "utf8");
const modeOf = (path: string) => (lstatSync(path).mode & 0o7777).toString(8);
const summary = (stdout: string) => JSON.parse(stdout) as Record<string, unknown>;

async function ok(args: readonly string[], stdin?: string): Promise<string> {
  const result = await vsockbox(args, stdin === undefined ? {} : { stdin });
  expect(result).toMatchObject({ status: 0, stderr: "" });
  return result.stdout;
}

describe("cp of files", () => {
  test("up and down, to a new name, into a directory, over an old file", async () => {
    writeFileSync(local("a"), "first");
    await ok(["cp", local("a"), remote("b")]);
    expect(text(join(there, "b"))).toBe("first");
    await ok(["cp", local("a"), remote()]);
    expect(text(join(there, "a"))).toBe("first");
    writeFileSync(local("a"), "second");
    await ok(["cp", local("a"), remote("b")]);
    expect(text(join(there, "b"))).toBe("second");
    await ok(["cp", remote("b"), here]);
    await ok(["cp", remote("b"), local("c")]);
    expect([text(local("b")), text(local("c"))]).toEqual(["second", "second"]);
    expect(readdirSync(there).sort()).toEqual(["a", "b"]);
  });

  test("empty, one byte, and sizes around a frame and the window", async () => {
    const sizes = [0, 1, 65_535, 65_536, 65_537, 262_144, 262_145, 2_097_152, 5_000_001];
    const bytes = (size: number) => Buffer.alloc(size, "0123456789abcdef-");
    for (const size of sizes) writeFileSync(local(String(size)), bytes(size));
    await ok(["cp", ...sizes.map((size) => local(String(size))), remote()]);
    mkdirSync(local("back"));
    await ok(["cp", ...sizes.map((size) => remote(String(size))), local("back")]);
    for (const size of sizes) {
      expect(Buffer.compare(readFileSync(local("back", String(size))), bytes(size))).toBe(0);
    }
  });

  test("standard input and output", async () => {
    await ok(["cp", "-", remote("in")], "from a pipe");
    expect(text(join(there, "in"))).toBe("from a pipe");
    expect(await ok(["cp", remote("in"), "-"])).toBe("from a pipe");
    const into = await vsockbox(["cp", "-", remote()], { stdin: "x" });
    expect(into).toMatchObject({ status: 64, stderr: expect.stringContaining("is a directory") });
  });

  test("files of /proc, whose size is 0", async () => {
    await ok(["cp", `${agent.address}:/proc/version`, local("version")]);
    expect(text(local("version"))).toBe(readFileSync("/proc/version", "utf8"));
  });

  test("--list names each file, and --dry-run copies nothing", async () => {
    mkdirSync(local("tree/d"), { recursive: true });
    writeFileSync(local("tree/a"), "a");
    writeFileSync(local("tree/d/b"), "b");
    const up = [
      `${local("tree/a")} -> ${remote("tree/a")}`,
      `${local("tree/d/b")} -> ${remote("tree/d/b")}`,
    ];
    const linesOf = (output: string) =>
      output
        .split("\n")
        .filter((line) => line !== "")
        .toSorted();
    const args = [local("tree"), remote()];
    expect(linesOf(await ok(["cp", "-r", "--dry-run", ...args]))).toEqual(up);
    expect(readdirSync(there)).toEqual([]);
    expect(linesOf(await ok(["cp", "-r", "--list", ...args]))).toEqual(up);
    expect(readdirSync(join(there, "tree")).sort()).toEqual(["a", "d"]);

    const down = [remote("tree"), local("back")];
    const downLines = [
      `${remote("tree/a")} -> ${local("back/a")}`,
      `${remote("tree/d/b")} -> ${local("back/d/b")}`,
    ];
    expect(linesOf(await ok(["cp", "-r", "--dry-run", ...down]))).toEqual(downLines);
    expect(existsSync(local("back"))).toBe(false);
    expect(linesOf(await ok(["cp", "-r", "--list", ...down]))).toEqual(downLines);
    // What is there already is not copied again.
    const again = ["cp", "-r", "--no-clobber", "--list", `${remote("tree")}/.`, local("back")];
    expect(await ok(again)).toBe("");

    const relay = [remote("tree/a"), remote("copy")];
    const relayLine = `${relay.join(" -> ")}\n`;
    expect(await ok(["cp", "--dry-run", ...relay])).toBe(relayLine);
    expect(existsSync(join(there, "copy"))).toBe(false);
    expect(await ok(["cp", "--list", ...relay])).toBe(relayLine);
    expect(await ok(["cp", "--dry-run", "-", remote("in")], "x")).toBe(
      `standard input -> ${remote("in")}\n`,
    );
    expect(await ok(["cp", "--dry-run", remote("copy"), "-"])).toBe(
      `${remote("copy")} -> standard output\n`,
    );
  });

  test("--dry-run --json has an object a file, and refuses what a copy would refuse", async () => {
    writeFileSync(local("a"), "a");
    mkdirSync(local("d"));
    const json = await ok(["cp", "--dry-run", "--json", local("a"), remote()]);
    const object = JSON.parse(json) as object;
    expectShape(object, shapeOf("cp --dry-run"));
    expect(object).toEqual({ source: local("a"), destination: remote("a") });
    const directory = await vsockbox(["cp", "--dry-run", local("d"), remote()]);
    expect(directory).toMatchObject({ status: 64, stdout: "" });
    expect(directory.stderr).toContain("it is a directory");
    const missing = await vsockbox(["cp", "--dry-run", local("a"), local("none"), remote()]);
    expect(missing).toMatchObject({ status: 74, stdout: `${local("a")} -> ${remote("a")}\n` });
    const nowhere = await vsockbox(["cp", "--dry-run", local("a"), remote("no/")]);
    expect(nowhere).toMatchObject({ status: 73, stdout: "" });
    expect(await vsockbox(["cp", "--dry-run", "--resume", local("a"), remote()])).toMatchObject({
      status: 64,
    });
  });

  test("-a copies a tree with its modes and times", async () => {
    mkdirSync(local("tree"));
    writeFileSync(local("tree/a"), "a", { mode: 0o640 });
    utimesSync(local("tree/a"), 1000, 1000);
    await ok(["cp", "-a", local("tree"), remote()]);
    const { mode, mtimeMs } = statSync(join(there, "tree/a"));
    expect([mode & 0o777, mtimeMs]).toEqual([0o640, 1_000_000]);
  });

  test("a pattern is expanded by the agent", async () => {
    for (const name of ["a.log", "b.log", "c.txt", ".d.log"])
      writeFileSync(join(there, name), name);
    await ok(["cp", remote("*.log"), here]);
    expect(readdirSync(here).sort()).toEqual(["a.log", "b.log"]);
    await ok(["cp", remote("[!ab].t?t"), local("one")]);
    expect(text(local("one"))).toBe("c.txt");
    const none = await vsockbox(["cp", remote("*.none"), here]);
    expect(none).toMatchObject({ status: 74, stderr: expect.stringContaining("nothing matches") });
  });

  test("a file's mode goes along, less the umask; -p keeps mode and time, an old file keeps its own", async () => {
    writeFileSync(local("script"), "#!/bin/sh");
    chmodSync(local("script"), 0o755);
    utimesSync(local("script"), 1e9, 1e9);
    await ok(["cp", local("script"), remote("plain")]);
    expect([modeOf(join(there, "plain")), statSync(join(there, "plain")).mtimeMs > 1.5e12]).toEqual(
      ["755", true],
    );
    chmodSync(local("script"), 0o4711);
    await ok(["cp", "-p", local("script"), remote("kept")]);
    expect([modeOf(join(there, "kept")), statSync(join(there, "kept")).mtimeMs]).toEqual([
      "4711",
      1e12,
    ]);
    chmodSync(join(there, "plain"), 0o600);
    await ok(["cp", local("script"), remote("plain")]);
    expect(modeOf(join(there, "plain"))).toBe("600");
  });

  test("-n keeps existing files", async () => {
    writeFileSync(local("a"), "new");
    writeFileSync(join(there, "a"), "old");
    writeFileSync(local("b"), "b");
    await ok(["cp", "--no-clobber", local("a"), local("b"), remote()]);
    expect([text(join(there, "a")), text(join(there, "b"))]).toEqual(["old", "b"]);
  });

  test("--checksum compares a sha256 each", async () => {
    writeFileSync(local("a"), Buffer.alloc(700_000, 7));
    expect(summary(await ok(["cp", "--checksum", "--json", local("a"), remote()]))).toMatchObject({
      files: 1,
      size_bytes: 700_000,
      error_count: 0,
    });
    expect(
      summary(await ok(["cp", "--checksum", "--json", remote("a"), local("b")])),
    ).toMatchObject({
      size_bytes: 700_000,
    });
  });

  test.each([
    [["cp", "nowhere", "A:/tmp"], 74, "no such file"],
    [["cp", "A:/nowhere", "/tmp"], 74, "no such file"],
    [["cp", "A:/etc", "/tmp"], 64, "--recursive"],
    [["cp", "/etc", "A:/tmp"], 64, "--recursive"],
    [["cp", "/etc/passwd", "A:/nowhere/at/all"], 74, "no such file"],
    [["cp", "/etc/passwd", "A:/nowhere/"], 73, "no such directory"],
    [["cp", "/etc/passwd", "/etc/group", "A:/etc/hostname"], 73, "it is not a directory"],
    [["cp", "/etc/passwd", "/tmp/x"], 64, "neither side"],
    [["cp", "/etc/passwd"], 64, "destination is missing"],
    [["cp", "A:/dev/null", "/tmp/x"], 74, "not a regular file"],
    [["cp", "unix:/nowhere.sock:/x", "."], 69, "ENOENT"],
  ])("%j fails with the reason", async (args, status, message) => {
    const named = args.map((arg) => arg.replace(/^A:/, `${agent.address}:`));
    const result = await vsockbox(named);
    expect(result).toMatchObject({ status, stdout: "", stderr: expect.stringContaining(message) });
  });

  test("a directory is not replaced by a file, nor a file by a directory", async () => {
    writeFileSync(local("x"), "file");
    mkdirSync(join(there, "d/x"), { recursive: true });
    const over = await vsockbox(["cp", local("x"), remote("d")]);
    expect(over).toMatchObject({
      status: 74,
      stderr: expect.stringContaining("it is a directory"),
    });
    mkdirSync(local("tree/sub"), { recursive: true });
    mkdirSync(join(there, "tree"));
    writeFileSync(join(there, "tree/sub"), "file");
    const under = await vsockbox(["cp", "-r", local("tree"), remote()]);
    expect(under).toMatchObject({ status: 74, stderr: expect.stringContaining("not a directory") });
    expect(text(join(there, "tree/sub"))).toBe("file");
  });
});

describe("cp of trees", () => {
  test("10,000 small files, with names of every kind, there and back", async () => {
    // Names that no string of ours can hold are made by the shell.
    const made = await shell(
      `set -e; cd "${here}"; mkdir tree; cd tree
       for d in $(seq 0 99); do mkdir "d $d"; done
       seq 0 9989 | while read n; do echo "$n" > "d $((n % 100))/f-$n"; done
       printf x > "$(printf 'bad\\377\\376name')"; printf y > "$(printf 'new\\nline')"; printf z > ' lead'
       printf q > -dash; printf c > 'a:b'; printf g > '*[x]?'; printf u > 'ümlaut 日本'
       mkdir "$(printf 'dir\\377')"; echo in > "$(printf 'dir\\377')/in"; printf e > .hidden; printf l > "$(printf 'n%.0s' $(seq 255))"`,
    );
    expect(made).toMatchObject({ status: 0, stderr: "" });
    expect(summary(await ok(["cp", "-rp", "--json", local("tree"), remote()]))).toMatchObject({
      files: 10_000,
      error_count: 0,
    });
    await ok(["cp", "-rp", remote("tree"), local("back")]);
    const compared = await shell(
      `diff -r --no-dereference "${local("tree")}" "${local("back")}" && diff <(cd "${local("tree")}" && find . -printf '%P %m %s %T@ %y\\0' | sort -z) <(cd "${local("back")}" && find . -printf '%P %m %s %T@ %y\\0' | sort -z)`,
    );
    expect(compared).toMatchObject({ status: 0, stdout: "", stderr: "" });
  });

  test("links go as links, holes stay holes, empty directories are made", async () => {
    mkdirSync(local("tree/empty"), { recursive: true });
    symlinkSync("nowhere/at all", local("tree/dangling"));
    symlinkSync("empty", local("tree/to-directory"));
    writeFileSync(local("tree/sparse"), "begin");
    truncateSync(local("tree/sparse"), 1e9);
    chmodSync(local("tree/empty"), 0o500);
    await ok(["cp", "-r", local("tree"), remote()]);
    expect(readlinkSync(join(there, "tree/dangling"))).toBe("nowhere/at all");
    expect(lstatSync(join(there, "tree/to-directory")).isSymbolicLink()).toBe(true);
    expect(modeOf(join(there, "tree/empty"))).toBe("500");
    const { size, blocks } = statSync(join(there, "tree/sparse"));
    expect([size, blocks * 512 < 1e6]).toEqual([1e9, true]);
  });

  test("into an existing directory, as a new name, and only the contents", async () => {
    mkdirSync(local("tree"));
    writeFileSync(local("tree/f"), "f");
    await ok(["cp", "-r", local("tree"), remote("new")]);
    await ok(["cp", "-r", local("tree"), remote("new")]);
    await ok(["cp", "-r", `${local("tree")}/.`, remote()]);
    expect(readdirSync(there).sort()).toEqual(["f", "new"]);
    expect(readdirSync(join(there, "new")).sort()).toEqual(["f", "tree"]);
    await ok(["cp", "-r", remote("new/."), local("contents")]);
    expect(readdirSync(local("contents")).sort()).toEqual(["f", "tree"]);
  });

  test("what cannot be copied is named, and the rest is copied", async () => {
    mkdirSync(local("tree"));
    writeFileSync(local("tree/good"), "good");
    expect((await shell(`mkfifo "${local("tree/pipe")}"`)).status).toBe(0);
    const result = await vsockbox(["cp", "-r", local("tree"), remote()]);
    expect(result).toMatchObject({
      status: 74,
      stderr: expect.stringContaining("pipe: a FIFO cannot be copied"),
    });
    expect(readdirSync(join(there, "tree"))).toEqual(["good"]);
  });

  test("from guest to guest, through here", async () => {
    await using other = await TestAgent.start();
    mkdirSync(join(there, "tree/sub"), { recursive: true });
    writeFileSync(join(there, "tree/sub/f"), Buffer.alloc(3_000_000, "x"));
    await ok(["cp", "-r", remote("tree"), `${other.address}:${here}`]);
    expect(statSync(local("tree/sub/f")).size).toBe(3_000_000);
    await ok(["cp", remote("tree/sub/f"), `${other.address}:${local("single")}`]);
    expect(statSync(local("single")).size).toBe(3_000_000);
    const broken = await vsockbox(["cp", remote("none"), `${other.address}:${here}`]);
    expect(broken).toMatchObject({ status: 74, stderr: expect.stringContaining("no such file") });
  });
});

describe("cp --resume", () => {
  test("continues the transfer of a killed agent, both ways, with 2 GiB", async () => {
    using own = new ScratchDirectory();
    const source = own.file("source");
    const made = await shell(
      `head -c 64M /dev/urandom > "${own.file("block")}"; for i in $(seq 32); do cat "${own.file("block")}"; echo $i; done > "${source}"; rm "${own.file("block")}"`,
    );
    expect(made.status).toBe(0);
    const { size } = statSync(source);
    expect(size).toBeGreaterThan(2 ** 31);
    const target = own.file("target");
    const socket = own.file("agent.sock");
    const address = `unix:${socket}`;
    const startAgent = async () => {
      const running = new Running(["agent", "--listen", address]);
      await running.says("listening on");
      return running;
    };
    for (const [from, to] of [
      [source, `${address}:${target}`],
      [`${address}:${source}`, target],
    ] as const) {
      const first = await startAgent();
      const copy = vsockbox(["cp", "--resume", from, to]);
      await eventually("a part of it is there", () => partSize(target) > 200_000_000);
      await first[Symbol.asyncDispose]();
      expect((await copy).status).toBe(255);
      expect(existsSync(target)).toBe(false);
      const kept = partSize(target);
      expect(kept).toBeLessThan(size);
      await using _second = await startAgent();
      const resumed = await vsockbox(["cp", "--resume", "--json", from, to]);
      expect(resumed).toMatchObject({ status: 0, stderr: "" });
      const { reused_bytes: reused, size_bytes: bytes } = summary(resumed.stdout);
      expect([bytes, Number(reused) > 200_000_000]).toEqual([size, true]);
      const sums = await shell(
        `sha256sum < "${source}" & sha256sum < "${target}" & wait; rm "${target}"`,
      );
      const [one, two] = sums.stdout.trim().split("\n");
      expect(two).toBe(String(one));
      expect(partOf(target)).toBeUndefined();
    }
  });

  test("begins anew if the source has changed, and skips equal files", async () => {
    writeFileSync(local("f"), Buffer.alloc(1_000_000, "new"));
    leavePart(join(there, "f"), Buffer.alloc(500_000, "old"));
    expect(summary(await ok(["cp", "--resume", "--json", local("f"), remote()]))).toMatchObject({
      reused_bytes: 0,
    });
    expect(Buffer.compare(readFileSync(join(there, "f")), readFileSync(local("f")))).toBe(0);
    expect(summary(await ok(["cp", "--resume", "--json", local("f"), remote()]))).toMatchObject({
      reused_bytes: 1_000_000,
    });
    expect(readdirSync(there)).toEqual(["f"]);
  });
});

describe("an interrupted cp", () => {
  /** A copy whose input does not end. */
  async function begun(): Promise<Running> {
    const running = new Running(["cp", "-", remote("f")]);
    running.process.stdin.write(new Uint8Array(300_000));
    await running.process.stdin.flush();
    await eventually("a part of it is there", () => unnamedBytes(agent.running.pid, there) > 0);
    return running;
  }

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    // Not even a client that is killed leaves anything.
    ["SIGKILL", 137],
  ] as const)("%s leaves no file in the guest", async (signal, status) => {
    await using running = await begun();
    running.process.kill(signal);
    await running.process.exited;
    expect(running.process.exitCode ?? 128 + 9).toBe(status);
    await eventually("it is closed", () => unnamedBytes(agent.running.pid, there) === 0);
    expect(readdirSync(there)).toEqual([]);
  });
});

describe("ls, cat, stat, mkdir, mv, rm", () => {
  test("do as their names promise", async () => {
    await ok(["mkdir", "--parents", remote("a/b/c")]);
    await ok(["mkdir", "-m", "700", remote("own")]);
    expect(modeOf(join(there, "own"))).toBe("700");
    writeFileSync(join(there, "a/f"), "content\n");
    symlinkSync("f", join(there, "a/link"));
    writeFileSync(join(there, "a/.hidden"), "");
    expect(await ok(["ls", remote("a")])).toBe("b\nf\nlink\n");
    expect(await ok(["ls", "-a", remote("a")])).toBe(".hidden\nb\nf\nlink\n");
    expect(await ok(["ls", "-l", remote("a")])).toMatch(
      /^drwxr-xr-x .* b\n-rw-r--r-- \d+:\d+ +8 \d{4}-.*Z f\nlrwxrwxrwx .* link -> f\n$/,
    );
    expect(await ok(["cat", remote("a/f"), remote("a/link")])).toBe("content\ncontent\n");
    expect(summary(await ok(["stat", "--json", remote("a/link")]))).toMatchObject({
      type: "link",
      link_target: "f",
    });
    expect(summary(await ok(["stat", "--dereference", "--json", remote("a/link")]))).toMatchObject({
      type: "file",
      size_bytes: 8,
    });
    await ok(["mv", remote("a/f"), remote("a/g")]);
    await ok(["mv", remote("a/g"), remote("own")]);
    expect(text(join(there, "own/g"))).toBe("content\n");
    await ok(["rm", remote("a/link")]);
    const refused = await vsockbox(["rm", remote("a")]);
    expect(refused).toMatchObject({ status: 74, stderr: expect.stringContaining("--recursive") });
    expect(summary(await ok(["rm", "-r", "--json", remote("a")]))).toMatchObject({ removed: 4 });
    await ok(["rm", "-f", remote("a")]);
    expect(readdirSync(there)).toEqual(["own"]);
  });

  test("rm does not follow links", async () => {
    mkdirSync(join(there, "tree"));
    writeFileSync(join(there, "outside"), "stays");
    symlinkSync("..", join(there, "tree/up"));
    await ok(["rm", "-r", remote("tree")]);
    expect(readdirSync(there)).toEqual(["outside"]);
  });

  test("mv --no-clobber does not replace", async () => {
    writeFileSync(join(there, "a"), "a");
    writeFileSync(join(there, "b"), "b");
    const result = await vsockbox(["mv", "--no-clobber", remote("a"), remote("b")]);
    expect(result).toMatchObject({ status: 73, stderr: expect.stringContaining("it exists") });
    expect([text(join(there, "a")), text(join(there, "b"))]).toEqual(["a", "b"]);
  });

  test("names that are not UTF-8 are accepted and kept", async () => {
    const line = `set -e; name=$(printf 'n\\377'); echo hi > /tmp/x-$$; vsockbox cp /tmp/x-$$ "${remote()}/$name"; rm /tmp/x-$$; vsockbox cat "${remote()}/$name"; vsockbox mv "${remote()}/$name" "${remote()}/$name-2"; vsockbox ls --json "${remote()}"; vsockbox rm "${remote()}/$name-2"`;
    const result = await shell(line);
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(result.stdout).toContain('"name":{"base64":"bv8tMg=="}');
    expect(readdirSync(there)).toEqual([]);
  });
});
