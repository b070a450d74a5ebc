/**
 * An export and a guest of the Go package: each point of the dialect in which the two could differ, with the
 * bytes that its daemon sends, against the executable.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Running, ScratchDirectory } from "../support/binary.ts";
import { goRequest, RawVfsClient } from "../support/vfs-client.ts";

const OP = {
  ...{ lookup: 0, getattr: 1, setattr: 2, read: 3, write: 4, create: 5, mkdir: 6, unlink: 7 },
  ...{ rmdir: 8, rename: 9, open: 10, release: 11, readdir: 12, fsync: 13 },
} as const;

/** Go's bits of a mode. */
const GO_DIRECTORY = 2 ** 31;
const GO_SYMLINK = 2 ** 27;
const GO_PIPE = 2 ** 25;

const scratch = new ScratchDirectory();
const root = join(scratch.path, "root");
const socket = scratch.file("vm_5001");
let running: Running;

beforeAll(async () => {
  mkdirSync(root);
  writeFileSync(scratch.file("outside"), "secret");
  running = new Running(["export", root, "--listen", `hybrid:${scratch.file("vm")}`]);
  await running.says("listening on");
});
afterAll(async () => {
  await running[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

/** As the daemon begins: it asks for its mount point. */
async function mounted(mountPoint = "/workspace"): Promise<RawVfsClient> {
  const client = new RawVfsClient(socket);
  await client.ask(goRequest(OP.getattr, { path: mountPoint }));
  return client;
}

const at = (path: string) => join(root, path);
const stat = (client: RawVfsClient, path: string) =>
  client.ask(goRequest(OP.getattr, { path: `/workspace/${path}` }));
const plain = (map: ReadonlyMap<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(
    [...map].map(([key, value]) => [key, value instanceof Map ? plain(value as never) : value]),
  );
/** The names of a listing with their other facts. */
const entriesOf = (map: ReadonlyMap<string, unknown>) =>
  new Map(
    ((map.get("entries") ?? []) as ReadonlyMap<string, unknown>[]).map((entry) => [
      entry.get("name"),
      plain(entry),
    ]),
  );

test("1: paths have the mount point in front, whose parents are made up", async () => {
  using client = await mounted("/mnt/work");
  writeFileSync(at("one"), "12345");
  const ask = async (op: number, path: string) => plain(await client.ask(goRequest(op, { path })));
  expect(await ask(OP.lookup, "/mnt/work/one")).toMatchObject({ err: 0, stat: { size: 5 } });
  expect(await ask(OP.lookup, "/one")).toEqual({ err: -2 });
  expect(await ask(OP.lookup, "/mnt/other")).toEqual({ err: -2 });
  expect(await ask(OP.lookup, "/mnt/works/one")).toEqual({ err: -2 });
  expect(await ask(OP.lookup, "one")).toEqual({ err: -2 });
  expect(await ask(OP.getattr, "/")).toMatchObject({
    err: 0,
    stat: { mode: GO_DIRECTORY + 0o755, is_dir: true, ino: 1 },
  });
  expect(await ask(OP.getattr, "/mnt")).toMatchObject({ stat: { mode: GO_DIRECTORY + 0o755 } });
  expect([...entriesOf(await client.ask(goRequest(OP.readdir, { path: "/mnt" }))).keys()]).toEqual([
    "work",
  ]);
  expect(await ask(OP.mkdir, "/mnt/other")).toEqual({ err: -2 });
  expect(await ask(OP.unlink, "/mnt")).toEqual({ err: -2 });
  expect(
    plain(await client.ask(goRequest(OP.rename, { path: "/mnt/work/one", new_path: "/mnt" }))),
  ).toEqual({ err: -2 });
});

test("1: the first request shows the mount point: the root, or a name in it", async () => {
  writeFileSync(at("first"), "12345");
  for (const [op, path] of [
    [OP.lookup, "/mnt/work/first"],
    [OP.readdir, "/mnt/work"],
    [OP.getattr, "/mnt/work"],
  ] as const) {
    using client = new RawVfsClient(socket);
    expect((await client.ask(goRequest(op, { path }))).get("err")).toBe(0);
    const found = await client.ask(goRequest(OP.getattr, { path: "/mnt/work/first" }));
    expect(plain(found)).toMatchObject({ err: 0, stat: { size: 5 } });
  }
});

test("1: an export may know the mount point from its command line", async () => {
  const path = scratch.file("fixed.sock");
  await using fixed = new Running([
    ...["export", root, "--listen", `unix:${path}`, "--mount-point", "/workspace/"],
  ]);
  await fixed.says("listening on");
  using client = new RawVfsClient(path);
  expect((await client.ask(goRequest(OP.lookup, { path: "/workspace" }))).get("err")).toBe(0);
  expect((await client.ask(goRequest(OP.getattr, { path: "/elsewhere" }))).get("err")).toBe(-2);
});

test("2: modes are Unix in requests and Go's in answers", async () => {
  using client = await mounted();
  // 33188 and 493 as its daemon sends them: S_IFREG | 0644, and 0755.
  const made = await client.ask(goRequest(OP.create, { path: "/workspace/two", mode: 33_188 }));
  expect(plain(made)).toMatchObject({ err: 0, fh: 1, stat: { mode: 0o644 } });
  const directory = await client.ask(goRequest(OP.mkdir, { path: "/workspace/two.d", mode: 493 }));
  expect(plain(directory)).toMatchObject({ stat: { mode: GO_DIRECTORY + 0o755, is_dir: true } });
  await client.ask(goRequest(OP.setattr, { path: "/workspace/two", mode: 2505 }));
  expect(lstatSync(at("two")).mode & 0o7777).toBe(0o4711);
  expect(plain(await stat(client, "two"))).toMatchObject({ stat: { mode: 2 ** 23 + 0o711 } });
});

test("3: entries have the type alone as mode, and the facts of links themselves", async () => {
  using client = await mounted();
  mkdirSync(at("three/d"), { recursive: true });
  writeFileSync(at("three/f"), "12345", { mode: 0o600 });
  symlinkSync("f", at("three/l"));
  Bun.spawnSync(["mkfifo", at("three/p")]);
  const entries = entriesOf(await client.ask(goRequest(OP.readdir, { path: "/workspace/three" })));
  // All keys are there, also those that are zero.
  const ino = expect.anything();
  expect(entries.get("f")).toEqual({ name: "f", is_dir: false, mode: 0, size: 5, ino });
  expect(entries.get("d")).toMatchObject({ is_dir: true, mode: GO_DIRECTORY });
  expect(entries.get("l")).toMatchObject({ mode: GO_SYMLINK, size: 1 });
  expect(entries.get("p")).toMatchObject({ mode: GO_PIPE });
  // Lookup follows the link.
  expect(plain(await stat(client, "three/l"))).toMatchObject({ stat: { mode: 0o600, size: 5 } });
});

test("3: links are followed within the root and not out of it", async () => {
  using client = await mounted();
  mkdirSync(at("links"));
  symlinkSync("../../outside", at("links/relative"));
  symlinkSync(scratch.file("outside"), at("links/absolute"));
  symlinkSync("/etc", at("links/etc"));
  for (const name of ["relative", "absolute", "etc"]) {
    // Shown as itself, so that it can be removed.
    expect(plain(await stat(client, `links/${name}`))).toMatchObject({
      stat: { mode: GO_SYMLINK + 0o777 },
    });
    const open = await client.ask(
      goRequest(OP.open, { path: `/workspace/links/${name}`, flags: 32_768 }),
    );
    expect(plain(open)).toEqual({ err: -40 });
  }
  expect((await stat(client, "links/etc/passwd")).get("err")).toBe(-2);
});

test("4: Setattr changes the mode and nothing else, and a mode of 0 is absent", async () => {
  using client = await mounted();
  writeFileSync(at("four"), "12345", { mode: 0o644 });
  const before = statSync(at("four")).mtimeMs;
  const { err } = plain(
    await client.ask(
      goRequest(OP.setattr, { path: "/workspace/four", mode: 0o600, uid: 7, gid: 7 }),
    ),
  );
  expect(err).toBe(0);
  const facts = statSync(at("four"));
  expect([facts.mode & 0o777, facts.uid, facts.size, facts.mtimeMs]).toEqual([
    ...[0o600, process.getuid?.() ?? 0, 5, before],
  ]);
  expect(goRequest(OP.setattr, { path: "/workspace/four", mode: 0 }).includes("mode")).toBe(false);
  await client.ask(goRequest(OP.setattr, { path: "/workspace/four", mode: 0 }));
  expect(statSync(at("four")).mode & 0o777).toBe(0);
});

test("4: its daemon truncates by Open, Release, Create, Release", async () => {
  using client = await mounted();
  writeFileSync(at("truncated"), "12345");
  const path = "/workspace/truncated";
  const opened = await client.ask(goRequest(OP.open, { path, flags: 32_769 }));
  await client.ask(goRequest(OP.release, { fh: Number(opened.get("fh")) }));
  const created = await client.ask(goRequest(OP.create, { path, mode: 33_188 }));
  expect(plain(created)).toMatchObject({ err: 0, stat: { size: 0 } });
  expect(plain(await client.ask(goRequest(OP.release, { fh: Number(created.get("fh")) })))).toEqual(
    { err: 0 },
  );
  expect(statSync(at("truncated")).size).toBe(0);
});

test("5: Create empties a file that exists, and its handle reads and writes", async () => {
  using client = await mounted();
  writeFileSync(at("five"), "old content");
  const made = await client.ask(goRequest(OP.create, { path: "/workspace/five", mode: 33_188 }));
  const fh = Number(made.get("fh"));
  const data = Buffer.from("new");
  expect(plain(await client.ask(goRequest(OP.write, { fh, data })))).toEqual({
    err: 0,
    written: 3,
  });
  expect(plain(await client.ask(goRequest(OP.read, { fh, sz: 131_072 })))).toEqual({
    err: 0,
    data: new Uint8Array(data),
  });
  // The end of the file has no data at all.
  expect(plain(await client.ask(goRequest(OP.read, { fh, off: 3, sz: 131_072 })))).toEqual({
    err: 0,
  });
  expect(readFileSync(at("five"), "utf8")).toBe("new");
});

test("6: O_APPEND is not passed on: writes go where the guest's kernel wants them", async () => {
  using client = await mounted();
  writeFileSync(at("six"), "12345");
  // 33793: O_LARGEFILE, O_APPEND, O_WRONLY.
  const opened = await client.ask(goRequest(OP.open, { path: "/workspace/six", flags: 33_793 }));
  const fh = Number(opened.get("fh"));
  const written = await client.ask(goRequest(OP.write, { fh, off: 5, data: Buffer.from("6") }));
  expect(plain(written)).toEqual({ err: 0, written: 1 });
  await client.ask(goRequest(OP.write, { fh, off: 0, data: Buffer.from("0") }));
  expect(readFileSync(at("six"), "utf8")).toBe("023456");
});

test("7: errors are the negative errnos of Linux, and each removal removes both kinds", async () => {
  using client = await mounted();
  mkdirSync(at("seven/full/x"), { recursive: true });
  mkdirSync(at("seven/empty"));
  mkdirSync(at("seven/other"));
  writeFileSync(at("seven/file"), "");
  writeFileSync(at("seven/file2"), "");
  const err = async (op: number, path: string, more = {}) =>
    (await client.ask(goRequest(op, { path: `/workspace/seven/${path}`, ...more }))).get("err");
  expect(await err(OP.rmdir, "full")).toBe(-39);
  expect(await err(OP.unlink, "full")).toBe(-39);
  expect(await err(OP.unlink, "empty")).toBe(0);
  expect(await err(OP.rmdir, "other")).toBe(0);
  expect(await err(OP.rmdir, "file")).toBe(0);
  expect(await err(OP.unlink, "file2")).toBe(0);
  expect(await err(OP.unlink, "missing")).toBe(-2);
  expect(await err(OP.mkdir, "full", { mode: 493 })).toBe(-17);
  expect(await err(OP.open, "full", { flags: 34_817 })).toBe(-21);
  expect(await err(OP.rename, "full", { new_path: "/workspace/seven/moved" })).toBe(0);
  expect(existsSync(at("seven/moved/x"))).toBe(true);
  expect(await err(OP.rename, "moved", { new_path: "/etc/moved" })).toBe(-2);
});

test("8: unknown handles fail for reads and writes alone, and handles end with their connection", async () => {
  using client = await mounted();
  writeFileSync(at("eight"), "12345");
  const err = async (op: number, fields = {}) =>
    (await client.ask(goRequest(op, fields))).get("err");
  expect(await err(OP.read, { fh: 77, sz: 1 })).toBe(-9);
  expect(await err(OP.write, { fh: 77, data: Buffer.from("x") })).toBe(-9);
  expect([await err(OP.release, { fh: 77 }), await err(OP.fsync, { fh: 77 })]).toEqual([0, 0]);
  const opened = await client.ask(goRequest(OP.open, { path: "/workspace/eight", flags: 32_768 }));
  expect(opened.get("fh")).toBe(1);
  using other = await mounted();
  expect((await other.ask(goRequest(OP.read, { fh: 1, sz: 1 }))).get("err")).toBe(-9);
});

test("9: Getattr has no handle: an open file that was removed is not found", async () => {
  using client = await mounted();
  writeFileSync(at("nine"), "12345");
  const opened = await client.ask(goRequest(OP.open, { path: "/workspace/nine", flags: 32_768 }));
  const fh = Number(opened.get("fh"));
  expect((await client.ask(goRequest(OP.unlink, { path: "/workspace/nine" }))).get("err")).toBe(0);
  expect((await stat(client, "nine")).get("err")).toBe(-2);
  const read = await client.ask(goRequest(OP.read, { fh, sz: 131_072 }));
  expect(read.get("data")).toEqual(new Uint8Array(Buffer.from("12345")));
});

test("10: a name that is not UTF-8 is answered, a broken frame ends the connection", async () => {
  using client = await mounted();
  const name = Buffer.concat([
    Buffer.from("a2626f700064706174686c2f776f726b73706163652fff", "hex"),
  ]);
  expect(plain(await client.ask(name))).toEqual({ err: -84 });
  writeFileSync(Buffer.concat([Buffer.from(`${at("")}/`), Buffer.from([0xff])]), "");
  const listed = await client.ask(goRequest(OP.readdir, { path: "/workspace" }));
  expect(listed.get("err")).toBe(0);
  expect([...entriesOf(listed).keys()]).not.toContain("\ufffd");
  for (const broken of ["", "ff", "a1", "80", "a1626f70"]) {
    using victim = await mounted();
    victim.sendFrame(Buffer.from(broken, "hex"));
    expect(await victim.next()).toBeUndefined();
  }
});

test("11: sizes of a guest are limited: frames, reads and writes", async () => {
  using client = await mounted();
  writeFileSync(at("eleven"), Buffer.alloc(3 * 1024 * 1024, 7));
  const opened = await client.ask(goRequest(OP.open, { path: "/workspace/eleven", flags: 32_770 }));
  const fh = Number(opened.get("fh"));
  const read = await client.ask(goRequest(OP.read, { fh, sz: 2 ** 32 - 1 }));
  expect((read.get("data") as Uint8Array).length).toBe(1024 * 1024);
  const data = Buffer.alloc(131_072, 9);
  expect((await client.ask(goRequest(OP.write, { fh, data }))).get("written")).toBe(131_072);
  using hostile = await mounted();
  hostile.send(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xa1]));
  expect(await hostile.next()).toBeUndefined();
});

test("12: operations that peers do not have are answered with ENOSYS", async () => {
  using client = await mounted();
  for (const op of [14, 15, 16, 17, 18, 19, 100, 199, 201, 255, 256, 70_000]) {
    expect(plain(await client.ask(goRequest(op, { path: "/workspace/a" })))).toEqual({ err: -38 });
  }
  // A Hello after the first request is one of them.
  expect(plain(await client.ask(goRequest(200)))).toEqual({ err: -38 });
});

test("13: its daemon mounts, writes, reads and lists as it does with its own server", async () => {
  using client = new RawVfsClient(socket);
  // Recorded: the first request of its daemon after the kernel's INIT.
  const first = Buffer.from("a2626f700164706174686a2f776f726b7370616365", "hex");
  expect(goRequest(OP.getattr, { path: "/workspace" })).toEqual(first);
  const mount = await client.ask(first);
  expect(plain(mount)).toMatchObject({ err: 0, stat: { is_dir: true } });
  const { stat: facts } = plain(mount) as { stat: Record<string, unknown> };
  expect(Object.keys(facts).sort()).toEqual(["ino", "is_dir", "mode", "mtime", "size"]);
  await client.ask(goRequest(OP.mkdir, { path: "/workspace/src", mode: 493 }));
  const made = await client.ask(
    goRequest(OP.create, { path: "/workspace/src/a.txt", mode: 33_188 }),
  );
  const fh = Number(made.get("fh"));
  await client.ask(goRequest(OP.write, { fh, data: Buffer.from("hello\n") }));
  await client.ask(goRequest(OP.fsync, { fh }));
  await client.ask(goRequest(OP.release, { fh }));
  const listed = await client.ask(goRequest(OP.readdir, { path: "/workspace/src" }));
  expect([...entriesOf(listed).keys()]).toEqual(["a.txt"]);
  const inode = entriesOf(listed).get("a.txt")?.["ino"];
  expect(plain(await stat(client, "src/a.txt"))).toMatchObject({ stat: { ino: inode, size: 6 } });
  expect(readFileSync(at("src/a.txt"), "utf8")).toBe("hello\n");
  expect(plain(await client.ask(goRequest(OP.readdir, { path: "/workspace/src/a.txt" })))).toEqual({
    err: -20,
  });
  mkdirSync(at("empty"));
  expect(plain(await client.ask(goRequest(OP.readdir, { path: "/workspace/empty" })))).toEqual({
    err: 0,
  });
});

test("a guest's path cannot leave the root", async () => {
  using client = await mounted();
  for (const path of [
    "/workspace/../etc/passwd",
    "/workspace/a/../../outside",
    "/../workspace",
    "/workspace/..",
  ]) {
    expect((await client.ask(goRequest(OP.getattr, { path }))).get("err")).toBe(-2);
  }
  expect((await client.ask(goRequest(OP.getattr, { path: "/workspace/a\0b" }))).get("err")).toBe(
    -22,
  );
});
