import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { join } from "node:path";
import { FuseOpcode } from "../../../../src/protocols/fuse/constants.ts";
import { RemoteError } from "../../../../src/vfs/client/remote-files.ts";
import { type CacheMode, cachePolicy } from "../../../../src/vfs/mount/cache-policy.ts";
import { DirectorySnapshots } from "../../../../src/vfs/mount/directory-snapshots.ts";
import { hostFlags } from "../../../../src/vfs/mount/file-operations.ts";
import { FuseSession } from "../../../../src/vfs/mount/fuse-session.ts";
import { HandleTable } from "../../../../src/vfs/mount/handle-table.ts";
import type { MountState } from "../../../../src/vfs/mount/mount-state.ts";
import { NodeTable } from "../../../../src/vfs/mount/node-table.ts";
import { StaleRetries } from "../../../../src/vfs/mount/stale-retries.ts";
import { eventually } from "../../../support/eventually.ts";
import { FakeKernel, type KernelAnswer } from "../../../support/fake-kernel.ts";
import { layOut, readStruct, sizeOf, z } from "../../../support/fuse-structs.ts";
import { LocalFiles } from "../../../support/local-files.ts";
import { ScratchDirectory } from "../../../support/scratch-directory.ts";

const [EPERM, ENOENT, EINTR, EIO, EBADF, EINVAL, ENOTTY, EFBIG, ENOSYS, ESTALE] = [
  1, 2, 4, 5, 9, 22, 25, 27, 38, 116,
];
/** The process that wakes watches. */
const WAKING = 99;
/** How long second attempts are expected: no test waits for it, in milliseconds. */
const RETRY_MS = 600_000;
const ATTRIBUTES = sizeOf("fuse_entry_out");
const ENTRY = ATTRIBUTES + sizeOf("fuse_attr");

let scratch: ScratchDirectory;
let root: string;
let files: LocalFiles;
let kernel: FakeKernel;
let state: MountState;
let retries: StaleRetries;
let defects: unknown[];
let ended: Promise<void>;

async function start(
  cache: CacheMode = "auto",
  interruptMs?: number,
  upperFlags?: number,
): Promise<void> {
  files = new LocalFiles(root);
  kernel = new FakeKernel();
  defects = [];
  const status = await files.getStatus({ path: new Uint8Array(0), handle: undefined });
  const nodes = new NodeTable(status);
  const policy = cachePolicy(cache);
  const snapshots = new DirectorySnapshots({
    validMs: Math.min(1000, policy.attributesMs),
    files: () => files,
    path: (directory) => nodes.path(directory),
  });
  retries = new StaleRetries({ expectedMs: RETRY_MS, keptMs: RETRY_MS });
  state = {
    ...{ files, nodes, handles: new HandleTable(), policy, snapshots, retries },
    ...{ hasXattrs: false, isReadOnly: false },
  };
  const onDefect = (thrown: unknown) => defects.push(thrown);
  const session = new FuseSession({
    ...{ state, device: kernel, onDefect, isWaking: (pid) => pid === WAKING },
    ...(interruptMs === undefined ? {} : { interruptMs }),
  });
  ended = session.run();
  await kernel.start(upperFlags);
  await session.started;
  files.calls.length = 0;
}

beforeEach(async () => {
  scratch = new ScratchDirectory();
  root = scratch.path;
  await start();
});

afterEach(async () => {
  kernel.unmount();
  await ended;
  scratch[Symbol.dispose]();
  expect(defects).toEqual([]);
});

const ok = async (answer: Promise<KernelAnswer>): Promise<Uint8Array> => {
  const { errno, body } = await answer;
  expect(errno).toBe(0);
  return body;
};
const errnoOf = async (answer: Promise<KernelAnswer>) => (await answer).errno;
const entryOf = (body: Uint8Array) => ({
  ...readStruct("fuse_entry_out", body),
  ...readStruct("fuse_attr", body, ATTRIBUTES),
});

const lookup = async (name: string, parent = 1) =>
  entryOf(await ok(kernel.ask(FuseOpcode.Lookup, [z(name)], parent)));
const nodeOf = async (name: string, parent = 1) => (await lookup(name, parent))["nodeid"] ?? 0;
const getattr = (node: number) =>
  kernel.ask(FuseOpcode.GetAttributes, [layOut("fuse_getattr_in", {})], node);
const openBy = (pid: number, node: number, flags = 0) =>
  kernel.ask(FuseOpcode.Open, [layOut("fuse_open_in", { flags })], node, pid);
const lookupBy = async (pid: number, name: string) =>
  entryOf(await ok(kernel.ask(FuseOpcode.Lookup, [z(name)], 1, pid)))["nodeid"] ?? 0;
const open = async (node: number, flags = 0) => {
  const body = await ok(kernel.ask(FuseOpcode.Open, [layOut("fuse_open_in", { flags })], node));
  return readStruct("fuse_open_out", body);
};
const fhOf = async (node: number, flags = 0) => (await open(node, flags))["fh"] ?? 0;
const read = (fh: number, offset: number, size: number, node = 1) =>
  kernel.ask(FuseOpcode.Read, [layOut("fuse_read_in", { fh, offset, size })], node);
const write = (fh: number, offset: number, data: Uint8Array, node = 1) => {
  const head = layOut("fuse_write_in", { fh, offset, size: data.length });
  return kernel.ask(FuseOpcode.Write, [head, data], node);
};
const unlink = (name: string) => kernel.ask(FuseOpcode.Unlink, [z(name)]);
const rename = (from: string, to: string, flags = 0, parents = [1, 1] as const) =>
  kernel.ask(
    FuseOpcode.Rename2,
    [layOut("fuse_rename2_in", { newdir: parents[1], flags }), z(from), z(to)],
    parents[0],
  );
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

describe("names", () => {
  test("are looked up, with the facts of the file and how long they are valid", async () => {
    fs.writeFileSync(join(root, "f"), "hello");
    const { ino, size } = fs.statSync(join(root, "f"));
    const entry = await lookup("f");
    expect(entry).toMatchObject({ nodeid: 2, ino, size, mode: 0o100644, entry_valid: 1 });
    expect(state.nodes.get(2)?.lookups).toBe(1);
    await lookup("f");
    expect(state.nodes.get(2)?.lookups).toBe(2);
  });

  test("that do not exist are ENOENT, or with a long cache known not to exist", async () => {
    expect(await errnoOf(kernel.ask(FuseOpcode.Lookup, [z("none")]))).toBe(ENOENT);
    kernel.unmount();
    await ended;
    await start("always");
    expect(await lookup("none")).toMatchObject({ nodeid: 0, entry_valid: 86_400 });
  });

  test("are listed at once when one after the other is looked up", async () => {
    for (let index = 0; index < 200; index++) fs.writeFileSync(join(root, `f${index}`), "12");
    for (let index = 0; index < 200; index++) {
      expect(await lookup(`f${index}`)).toMatchObject({ size: 2, mode: 0o100644 });
    }
    expect(files.calls.length).toBeLessThan(40);
    expect(await errnoOf(kernel.ask(FuseOpcode.Lookup, [z("none")]))).toBe(ENOENT);
    const asked = files.calls.length;
    // A change is seen: the list is dropped.
    const node = await nodeOf("f7");
    const fh = await fhOf(node, 2);
    await ok(write(fh, 0, z("longer"), node));
    expect(await lookup("f7")).toMatchObject({ size: 7 });
    await ok(rename("f8", "g8"));
    expect(await errnoOf(kernel.ask(FuseOpcode.Lookup, [z("f8")]))).toBe(ENOENT);
    expect(await lookup("g8")).toMatchObject({ size: 2 });
    expect(files.calls.length).toBeGreaterThan(asked);
  });

  test("are forgotten, one by one and in batches", async () => {
    fs.writeFileSync(join(root, "f"), "");
    fs.writeFileSync(join(root, "g"), "");
    const [f, g] = [await nodeOf("f"), await nodeOf("g")];
    await lookup("f");
    kernel.send(FuseOpcode.Forget, [layOut("fuse_forget_in", { nlookup: 1 })], f);
    kernel.send(FuseOpcode.BatchForget, [
      layOut("fuse_batch_forget_in", { count: 1 }),
      layOut("fuse_forget_one", { nodeid: g, nlookup: 1 }),
    ]);
    await lookup("f");
    expect([state.nodes.get(f)?.lookups, state.nodes.get(g)]).toEqual([2, undefined]);
  });

  test("are made: directories, FIFOs, symbolic and hard links", async () => {
    const mkdir = [layOut("fuse_mkdir_in", { mode: 0o750 }), z("d")];
    const directory = entryOf(await ok(kernel.ask(FuseOpcode.MakeDirectory, mkdir)));
    expect(directory).toMatchObject({ mode: 0o040750 });
    const mknod = [layOut("fuse_mknod_in", { mode: 0o010644 }), z("fifo")];
    const fifo = entryOf(
      await ok(kernel.ask(FuseOpcode.MakeNode, mknod, directory["nodeid"] ?? 0)),
    );
    expect(fifo).toMatchObject({ mode: 0o010644 });
    expect(fs.statSync(join(root, "d/fifo")).isFIFO()).toBe(true);
    const link = entryOf(await ok(kernel.ask(FuseOpcode.Symlink, [z("l"), z("../target")])));
    expect(link).toMatchObject({ mode: 0o120777 });
    const target = await ok(kernel.ask(FuseOpcode.ReadLink, [], link["nodeid"]));
    expect(text(target)).toBe("../target");
    fs.writeFileSync(join(root, "f"), "x");
    const oldnodeid = await nodeOf("f");
    const hard = [layOut("fuse_link_in", { oldnodeid }), z("h")];
    const linked = entryOf(await ok(kernel.ask(FuseOpcode.Link, hard)));
    expect(linked).toMatchObject({ nodeid: oldnodeid, nlink: 2 });
  });

  test("are renamed, with what is below them", async () => {
    fs.mkdirSync(join(root, "d"));
    fs.writeFileSync(join(root, "d/f"), "x");
    const file = await nodeOf("f", await nodeOf("d"));
    await ok(rename("d", "e"));
    expect(await errnoOf(getattr(file))).toBe(0);
    expect(fs.readdirSync(root)).toEqual(["e"]);
    expect(files.calls.at(-1)).toBe("getStatus e/f");
  });

  test("are exchanged, kept, and not renamed with other flags", async () => {
    fs.writeFileSync(join(root, "a"), "A");
    fs.writeFileSync(join(root, "b"), "BB");
    const [a, b] = [await nodeOf("a"), await nodeOf("b")];
    expect(await errnoOf(rename("a", "b", 1))).toBe(17);
    await ok(rename("a", "b", 2));
    const sizes = await Promise.all([a, b].map(async (node) => await ok(getattr(node))));
    expect(sizes.map((body) => readStruct("fuse_attr", body, 16)["size"])).toEqual([1, 2]);
    expect(files.calls.slice(-2)).toEqual(["getStatus b", "getStatus a"]);
    expect(await errnoOf(rename("a", "b", 4))).toBe(EINVAL);
  });

  test("are tried again at their new path if a rename came between", async () => {
    fs.mkdirSync(join(root, "d"));
    fs.writeFileSync(join(root, "d/f"), "x");
    const directory = await nodeOf("d");
    const file = await nodeOf("f", directory);
    let isFirst = true;
    files.before = async (call) => {
      if (call !== "getStatus d/f" || !isFirst) return;
      isFirst = false;
      await ok(rename("d", "e"));
    };
    expect(await errnoOf(getattr(file))).toBe(0);
  });
});

describe("open files", () => {
  test("are read, written and closed", async () => {
    fs.writeFileSync(join(root, "f"), "hello");
    const node = await nodeOf("f");
    const fh = await fhOf(node, 2);
    expect(text(await ok(read(fh, 1, 3)))).toBe("ell");
    const written = readStruct("fuse_write_out", await ok(write(fh, 5, z("!").subarray(0, 1))));
    expect(written["size"]).toBe(1);
    expect(fs.readFileSync(join(root, "f"), "utf8")).toBe("hello!");
    expect((await ok(read(fh, 100, 10))).length).toBe(0);
    await ok(kernel.ask(FuseOpcode.Release, [layOut("fuse_release_in", { fh })], node));
    expect(await errnoOf(read(fh, 0, 1))).toBe(EBADF);
    expect(state.handles.size).toBe(0);
    expect(files.calls.at(-1)).toBe("release");
  });

  test("are made with their flags, and found by name", async () => {
    const create = (flags: number) =>
      kernel.ask(FuseOpcode.Create, [layOut("fuse_create_in", { flags, mode: 0o640 }), z("new")]);
    const body = await ok(create(0o302));
    expect(entryOf(body)).toMatchObject({ mode: 0o100640, size: 0 });
    const { fh = 0 } = readStruct("fuse_open_out", body, ENTRY);
    await ok(write(fh, 0, z("x")));
    expect(await errnoOf(create(0o302))).toBe(17);
    await ok(create(0o1002));
    expect(fs.statSync(join(root, "new")).size).toBe(0);
  });

  test("stay readable when their last name was removed", async () => {
    fs.writeFileSync(join(root, "f"), "hello");
    const node = await nodeOf("f");
    const fh = await fhOf(node);
    await ok(unlink("f"));
    expect(text(await ok(read(fh, 0, 10)))).toBe("hello");
    const body = await ok(getattr(node));
    expect(readStruct("fuse_attr", body, 16)).toMatchObject({ size: 5, nlink: 0 });
    const setattr = layOut("fuse_setattr_in", { valid: 1, mode: 0o600 });
    await ok(kernel.ask(FuseOpcode.SetAttributes, [setattr], node));
    await ok(kernel.ask(FuseOpcode.Release, [layOut("fuse_release_in", { fh })], node));
    expect(await errnoOf(getattr(node))).toBe(ESTALE);
  });

  test("are written to the disk by fsync; close needs no request of its own", async () => {
    fs.writeFileSync(join(root, "f"), "");
    const fh = await fhOf(await nodeOf("f"), 2);
    await ok(write(fh, 0, z("x")));
    const flush = kernel.ask(FuseOpcode.Flush, [layOut("fuse_flush_in", { fh })]);
    expect(await errnoOf(flush)).toBe(ENOSYS);
    await ok(kernel.ask(FuseOpcode.Fsync, [layOut("fuse_fsync_in", { fh, fsync_flags: 1 })]));
    expect(files.calls).toContain("fsync");
  });

  test("keep their pages if they are unchanged since the kernel got their facts", async () => {
    fs.writeFileSync(join(root, "f"), "hello");
    const node = await nodeOf("f");
    expect((await open(node))["open_flags"]).toBe(2);
    fs.writeFileSync(join(root, "f"), "hello, changed");
    expect((await open(node))["open_flags"]).toBe(0);
    await ok(getattr(node));
    expect((await open(node))["open_flags"]).toBe(2);
  });

  test("of the same size are opened without old pages after a change of their attributes", async () => {
    const chmod = (node: number, pid = 1) => {
      const setattr = layOut("fuse_setattr_in", { valid: 1, mode: 0o600 });
      return kernel.ask(FuseOpcode.SetAttributes, [setattr], node, pid);
    };
    const touch = (node: number) => {
      const setattr = layOut("fuse_setattr_in", { valid: 1 << 5, mtime: 7 });
      return kernel.ask(FuseOpcode.SetAttributes, [setattr], node);
    };
    const timesOf = (body: Uint8Array) => {
      const { mtime, mtimensec } = readStruct("fuse_attr", body, 16);
      return { mtime, mtimensec, valid: readStruct("fuse_attr_out", body)["attr_valid"] };
    };
    fs.writeFileSync(join(root, "f"), "hello");
    fs.utimesSync(join(root, "f"), 5, 5);
    const node = await nodeOf("f");
    expect(timesOf(await ok(chmod(node)))).toEqual({ mtime: 5, mtimensec: 0, valid: 1 });
    expect((await open(node))["open_flags"]).toBe(2);
    // Changed on the host: the kernel would take this time for that of the pages that it has.
    fs.writeFileSync(join(root, "f"), "HELLO");
    fs.utimesSync(join(root, "f"), 6, 6);
    for (const pid of [1, WAKING]) {
      expect(timesOf(await ok(chmod(node, pid)))).toEqual({ mtime: 5, mtimensec: 0, valid: 0 });
      expect(fs.statSync(join(root, "f")).mode & 0o777).toBe(pid === WAKING ? 0o644 : 0o600);
      expect((await open(node))["open_flags"]).toBe(0);
      fs.chmodSync(join(root, "f"), 0o644);
    }
    expect(timesOf(await ok(getattr(node)))).toEqual({ mtime: 6, mtimensec: 0, valid: 1 });
    expect((await open(node))["open_flags"]).toBe(2);
    expect(timesOf(await ok(touch(node)))).toEqual({ mtime: 7, mtimensec: 0, valid: 1 });
    expect((await open(node))["open_flags"]).toBe(0);
    expect((await open(node))["open_flags"]).toBe(2);
  });

  test("have no pages without a cache, and always with a long one", async () => {
    fs.writeFileSync(join(root, "f"), "hello");
    for (const [mode, flags] of [
      ["none", 1],
      ["always", 2],
    ] as const) {
      kernel.unmount();
      await ended;
      await start(mode);
      const node = await nodeOf("f");
      fs.appendFileSync(join(root, "f"), "!");
      expect((await open(node))["open_flags"]).toBe(flags);
    }
  });

  test("have pages without a cache if the kernel could not map them otherwise, until the next open", async () => {
    fs.writeFileSync(join(root, "f"), "hello");
    kernel.unmount();
    await ended;
    await start("none", undefined, 0);
    const node = await nodeOf("f");
    expect((await open(node))["open_flags"]).toBe(0);
    expect(await lookup("f")).toMatchObject({ entry_valid: 0, attr_valid: 0 });
  });

  test("are cut on the host also by programs that then only read them", async () => {
    fs.writeFileSync(join(root, "f"), "hello");
    await open(await nodeOf("f"), 0o1000);
    expect(fs.readFileSync(join(root, "f"), "utf8")).toBe("");
    // A host cuts only what may be written.
    expect(hostFlags(0o1000, false)).toBe(0o1002);
    expect(hostFlags(0o1001, false)).toBe(0o1001);
  });

  test("have the host's holes, but not while the kernel holds written data", async () => {
    fs.writeFileSync(join(root, "f"), "hello");
    for (const [mode, isAsked] of [
      ["auto", true],
      ["always", false],
    ] as const) {
      kernel.unmount();
      await ended;
      await start(mode);
      const node = await nodeOf("f");
      const range = layOut("fuse_lseek_in", { fh: await fhOf(node, 2), offset: 0, whence: 4 });
      expect(await errnoOf(kernel.ask(FuseOpcode.Seek, [range], node))).toBe(ENOSYS);
      expect(files.calls.includes("seek")).toBe(isAsked);
    }
  });

  test("of another file than the one that was looked up are refused", async () => {
    fs.writeFileSync(join(root, "f"), "old");
    const node = await nodeOf("f");
    fs.writeFileSync(join(root, "new"), "new");
    fs.renameSync(join(root, "new"), join(root, "f"));
    const answer = kernel.ask(FuseOpcode.Open, [layOut("fuse_open_in", {})], node);
    expect(await errnoOf(answer)).toBe(ESTALE);
    expect(files.calls.at(-1)).toBe("release");
    expect(await nodeOf("f")).not.toBe(node);
  });

  test("refuse offsets that are no longer exact", async () => {
    fs.writeFileSync(join(root, "f"), "");
    const fh = await fhOf(await nodeOf("f"), 2);
    expect(await errnoOf(write(fh, 2 ** 53, z("x")))).toBe(EFBIG);
    expect((await ok(read(fh, 2 ** 53, 10))).length).toBe(0);
    const setattr = layOut("fuse_setattr_in", { valid: 8, size: 2n ** 62n });
    expect(await errnoOf(kernel.ask(FuseOpcode.SetAttributes, [setattr], 2))).toBe(EFBIG);
  });

  test("written in large pieces keep their buffer until the host has them", async () => {
    fs.writeFileSync(join(root, "f"), "");
    const fh = await fhOf(await nodeOf("f"), 2);
    const pieces = [1, 2, 3].map((byte) => new Uint8Array(100_000).fill(byte));
    const gate = Promise.withResolvers<void>();
    files.before = (call) => (call === "write" ? gate.promise : undefined);
    const writes = pieces.map((piece, index) => ok(write(fh, index * piece.length, piece)));
    await lookup("f");
    gate.resolve();
    await Promise.all(writes);
    expect(Buffer.compare(fs.readFileSync(join(root, "f")), Buffer.concat(pieces))).toBe(0);
    const count = kernel.buffers.size;
    await ok(write(fh, 0, pieces[0] ?? new Uint8Array(0)));
    expect(kernel.buffers.size).toBe(count);
  });
});

describe("attributes", () => {
  test("are of the file at the path, or ESTALE if that is another one", async () => {
    fs.writeFileSync(join(root, "f"), "old");
    const node = await nodeOf("f");
    fs.renameSync(join(root, "f"), join(root, "kept"));
    fs.writeFileSync(join(root, "f"), "new");
    expect(await errnoOf(getattr(node))).toBe(ESTALE);
    fs.rmSync(join(root, "f"));
    const gone = await nodeOf("kept");
    fs.rmSync(join(root, "kept"));
    expect(await errnoOf(getattr(gone))).toBe(ENOENT);
  });

  test("are set by path and by handle", async () => {
    fs.writeFileSync(join(root, "f"), "hello");
    const node = await nodeOf("f");
    const times = { atime: 5, atimensec: 0, mtime: 6, mtimensec: 500_000_000 };
    const valid = 1 | 8 | 16 | 32;
    const set = layOut("fuse_setattr_in", { valid, mode: 0o100600, size: 2, ...times });
    const body = await ok(kernel.ask(FuseOpcode.SetAttributes, [set], node));
    expect(readStruct("fuse_attr", body, 16)).toMatchObject({
      ...{ mode: 0o100600, size: 2, atime: 5, mtime: 6, mtimensec: 500_000_000 },
    });
    const fh = await fhOf(node, 2);
    await ok(unlink("f"));
    const byHandle = layOut("fuse_setattr_in", { valid: 8 | 64, fh, size: 1 });
    await ok(kernel.ask(FuseOpcode.SetAttributes, [byHandle], node));
    expect(text(await ok(read(fh, 0, 10)))).toBe("h");
  });

  test("of users are refused in a way that the kernel remembers", async () => {
    const get = [layOut("fuse_getxattr_in", { size: 0 }), z("user.a")];
    expect(await errnoOf(kernel.ask(FuseOpcode.GetXattr, get))).toBe(ENOSYS);
    expect(await errnoOf(kernel.ask(FuseOpcode.ListXattr, get.slice(0, 1)))).toBe(ENOSYS);
    expect(files.calls).toEqual([]);
  });

  test("of the file system are the host's", async () => {
    const { blocks, bsize } = fs.statfsSync(root);
    const body = await ok(kernel.ask(FuseOpcode.StatFilesystem));
    expect(readStruct("fuse_kstatfs", body)).toMatchObject({ blocks, bsize, namelen: 255 });
  });
});

/** The names of a directory as the kernel reads it, and the nodes that came with them. */
async function list(opcode: number, size: number, node = 1, from = 0) {
  const opened = await ok(kernel.ask(FuseOpcode.OpenDirectory, [layOut("fuse_open_in", {})], node));
  const { fh = 0 } = readStruct("fuse_open_out", opened);
  const names: string[] = [];
  const nodes: number[] = [];
  const before = opcode === FuseOpcode.ReadDirectoryPlus ? ENTRY : 0;
  for (let offset = from; ;) {
    const range = layOut("fuse_read_in", { fh, offset, size });
    const body = await ok(kernel.ask(opcode, [range], node));
    if (body.length === 0) break;
    expect(body.length).toBeLessThanOrEqual(size);
    for (let at = 0; at < body.length;) {
      const { off = 0, namelen = 0 } = readStruct("fuse_dirent", body, at + before);
      const begin = at + before + 24;
      names.push(text(body.subarray(begin, begin + namelen)));
      if (before > 0) nodes.push(readStruct("fuse_entry_out", body, at)["nodeid"] ?? 0);
      offset = off;
      at = Math.ceil((begin + namelen) / 8) * 8;
    }
  }
  return { names, nodes, fh };
}

describe("directories", () => {
  const NAMES = Array.from({ length: 250 }, (_, index) => `f${String(index).padStart(3, "0")}`);

  test.each([
    ["READDIR", FuseOpcode.ReadDirectory],
    ["READDIRPLUS", FuseOpcode.ReadDirectoryPlus],
  ])("are listed whole by %s, in any size of pieces", async (_, opcode) => {
    for (const name of NAMES) fs.writeFileSync(join(root, name), "");
    for (const size of [200, 4096, 131_072]) {
      const { names } = await list(opcode, size);
      expect(names).toEqual([".", "..", ...NAMES]);
    }
  });

  test("are listed with the nodes of their files, which are then known", async () => {
    for (const name of NAMES.slice(0, 3)) fs.writeFileSync(join(root, name), "");
    const { nodes } = await list(FuseOpcode.ReadDirectoryPlus, 4096);
    expect(nodes).toEqual([0, 0, 2, 3, 4]);
    expect([2, 3, 4].map((node) => state.nodes.get(node)?.lookups)).toEqual([1, 1, 1]);
    // One that did not fit in the first piece is not counted twice.
    await list(FuseOpcode.ReadDirectoryPlus, 500);
    expect([2, 3, 4].map((node) => state.nodes.get(node)?.lookups)).toEqual([2, 2, 2]);
  });

  test("are listed from any position, and anew from the beginning", async () => {
    for (const name of NAMES) fs.writeFileSync(join(root, name), "");
    const { fh } = await list(FuseOpcode.ReadDirectory, 4096);
    const at = async (offset: number) => {
      const body = await ok(
        kernel.ask(FuseOpcode.ReadDirectory, [layOut("fuse_read_in", { fh, offset, size: 64 })]),
      );
      const { namelen = 0 } = readStruct("fuse_dirent", body);
      return text(body.subarray(24, 24 + namelen));
    };
    expect([await at(1), await at(2), await at(240), await at(5)]).toEqual([
      ...["..", "f000", "f238", "f003"],
    ]);
    fs.rmSync(join(root, "f000"));
    await at(0);
    expect(await at(2)).toBe("f001");
  });

  test("that were not read from their beginning have no position", async () => {
    const opened = await ok(kernel.ask(FuseOpcode.OpenDirectory, [layOut("fuse_open_in", {})]));
    const { fh = 0 } = readStruct("fuse_open_out", opened);
    const range = layOut("fuse_read_in", { fh, offset: 9, size: 4096 });
    expect(await errnoOf(kernel.ask(FuseOpcode.ReadDirectory, [range]))).toBe(EINVAL);
    const release = [layOut("fuse_release_in", { fh })];
    await ok(kernel.ask(FuseOpcode.ReleaseDirectory, release));
    expect(await errnoOf(kernel.ask(FuseOpcode.ReleaseDirectory, release))).toBe(EBADF);
    expect(state.handles.size).toBe(0);
  });
});

describe("a session", () => {
  test("answers what it does not serve so that the kernel does not ask again", async () => {
    expect(await errnoOf(kernel.ask(FuseOpcode.Access, [new Uint8Array(8)]))).toBe(ENOSYS);
    expect(await errnoOf(kernel.ask(31, [new Uint8Array(48)]))).toBe(ENOSYS);
    expect(await errnoOf(kernel.ask(FuseOpcode.Ioctl, [new Uint8Array(32)]))).toBe(ENOTTY);
    expect(await errnoOf(kernel.ask(FuseOpcode.Lookup, []))).toBe(EINVAL);
    expect(await errnoOf(getattr(99))).toBe(ESTALE);
    expect(await errnoOf(kernel.ask(FuseOpcode.Destroy))).toBe(0);
  });

  test("skips what is not a request", async () => {
    kernel.push(new Uint8Array(7));
    kernel.push(new Uint8Array(64));
    expect(await errnoOf(getattr(1))).toBe(0);
  });

  test("goes on while the host has not answered", async () => {
    const gate = Promise.withResolvers<void>();
    files.before = (call) => (call === "getStatus slow" ? gate.promise : undefined);
    const slow = kernel.ask(FuseOpcode.Lookup, [z("slow")]);
    expect(await errnoOf(getattr(1))).toBe(0);
    gate.resolve();
    expect(await errnoOf(slow)).toBe(ENOENT);
  });

  test("answers an interrupted request in the end, and closes what was opened too late", async () => {
    kernel.unmount();
    await ended;
    await start("auto", 1);
    fs.writeFileSync(join(root, "f"), "");
    const node = await nodeOf("f");
    const gate = Promise.withResolvers<void>();
    files.before = (call) => (call === "open f" ? gate.promise : undefined);
    const { unique, answer } = kernel.begin(FuseOpcode.Open, [layOut("fuse_open_in", {})], node);
    kernel.send(FuseOpcode.Interrupt, [layOut("fuse_interrupt_in", { unique })], 0);
    expect(await errnoOf(answer)).toBe(EINTR);
    gate.resolve();
    await getattr(1);
    expect(files.calls).toContain("release");
    expect(state.handles.size).toBe(0);
  });

  test("answers interrupted requests while as many are in flight as may be, and ends", async () => {
    kernel.unmount();
    await ended;
    await start("auto", 1);
    const gate = Promise.withResolvers<void>();
    files.before = () => gate.promise;
    const begun = Array.from({ length: 600 }, () => kernel.begin(FuseOpcode.Lookup, [z("none")]));
    await eventually("the limit", () => files.calls.length >= 512);
    for (const { unique } of begun.slice(0, 512)) {
      kernel.sendFirst(FuseOpcode.Interrupt, [layOut("fuse_interrupt_in", { unique })], 0);
    }
    const answers = begun.slice(0, 512).map(({ answer }) => errnoOf(answer));
    expect(new Set(await Promise.all(answers))).toEqual(new Set([EINTR]));
    gate.resolve();
    const others = begun.slice(512).map(({ answer }) => errnoOf(answer));
    expect(new Set(await Promise.all(others))).toEqual(new Set([ENOENT]));
  });

  test("ends if it is unmounted while as many requests are in flight as may be", async () => {
    kernel.unmount();
    await ended;
    await start("auto", 1);
    files.before = () => new Promise(() => undefined);
    for (let count = 0; count < 600; count++) kernel.begin(FuseOpcode.Lookup, [z("none")]);
    await eventually("the limit", () => files.calls.length >= 512);
    kernel.unmount();
    await ended;
  });

  test("does not answer twice if the answer comes before the interrupt's time", async () => {
    kernel.unmount();
    await ended;
    await start("auto", 1);
    const { unique, answer } = kernel.begin(FuseOpcode.Lookup, [z("none")]);
    kernel.send(FuseOpcode.Interrupt, [layOut("fuse_interrupt_in", { unique })], 0);
    kernel.send(FuseOpcode.Interrupt, [layOut("fuse_interrupt_in", { unique: 998 })], 0);
    expect(await errnoOf(answer)).toBe(ENOENT);
  });

  test("answers with EIO if the kernel refuses the answer", async () => {
    kernel.writeErrors.push(22);
    expect(await errnoOf(getattr(1))).toBe(EIO);
  });

  test("answers a defect with EIO, and reports it", async () => {
    files.before = () => {
      throw new TypeError("a defect");
    };
    expect(await errnoOf(getattr(1))).toBe(EIO);
    expect(defects.splice(0)).toEqual([new TypeError("a defect")]);
  });

  test("passes the errno of the host on", async () => {
    files.before = () => {
      throw new RemoteError(EPERM);
    };
    expect(await errnoOf(getattr(1))).toBe(EPERM);
  });

  test("holds a bounded number of requests, and goes on with the others", async () => {
    const gate = Promise.withResolvers<void>();
    files.before = () => gate.promise;
    const answers = Array.from({ length: 1000 }, (_, index) =>
      kernel.ask(FuseOpcode.Lookup, [z(`n${index}`)]),
    );
    await Bun.sleep(0);
    await Bun.sleep(0);
    expect(files.calls.length).toBeLessThanOrEqual(512);
    gate.resolve();
    const errnos = await Promise.all(answers.map(errnoOf));
    expect(new Set(errnos)).toEqual(new Set([ENOENT]));
  });
});

describe("a file that is replaced all the time", () => {
  const [THREAD, OTHER] = [20, 21];
  let version = 0;
  /** Renames a new file over it, on the host. */
  const replace = () => {
    fs.writeFileSync(join(root, "new"), `version ${++version}`);
    fs.renameSync(join(root, "new"), join(root, "f"));
  };
  const facts = (node: number, pid: number) =>
    kernel.ask(FuseOpcode.GetAttributes, [layOut("fuse_getattr_in", {})], node, pid);
  const content = async (opened: Uint8Array) => {
    const { fh = 0 } = readStruct("fuse_open_out", opened);
    return text(await ok(read(fh, 0, 100)));
  };

  beforeEach(() => {
    version = 0;
    replace();
  });

  test("is opened at the second attempt", async () => {
    const first = await lookupBy(THREAD, "f");
    replace();
    expect(await errnoOf(openBy(THREAD, first))).toBe(ESTALE);
    expect(await errnoOf(openBy(THREAD, first))).toBe(ESTALE);
    const second = await lookupBy(THREAD, "f");
    replace();
    expect(await content(await ok(openBy(THREAD, second)))).toBe("version 2");
    expect(retries.size).toBe(0);
    // What has been used is not used again.
    expect(await errnoOf(openBy(THREAD, second))).toBe(ESTALE);
  });

  test("is opened at the second attempt if this mount replaces it", async () => {
    const first = await lookupBy(THREAD, "f");
    fs.writeFileSync(join(root, "other"), "other");
    await lookup("other");
    await ok(rename("other", "f"));
    expect(await errnoOf(openBy(THREAD, first))).toBe(ESTALE);
    // The kernel looks it up twice if it has become another node.
    await lookupBy(THREAD, "f");
    replace();
    const second = await lookupBy(THREAD, "f");
    replace();
    expect(await content(await ok(openBy(THREAD, second)))).toBe("version 2");
    expect(files.calls.filter((call) => call === "release")).toHaveLength(1);
  });

  test("has attributes at the second attempt, then is opened", async () => {
    const first = await lookupBy(THREAD, "f");
    replace();
    expect(await errnoOf(facts(first, THREAD))).toBe(ESTALE);
    const second = await lookupBy(THREAD, "f");
    replace();
    const body = await ok(facts(second, THREAD));
    expect(readStruct("fuse_attr", body, 16)["size"]).toBe("version 2".length);
    expect(await content(await ok(openBy(THREAD, second)))).toBe("version 2");
    expect(await errnoOf(facts(second, THREAD))).toBe(0);
  });

  test("has old attributes once", async () => {
    const first = await lookupBy(THREAD, "f");
    replace();
    expect(await errnoOf(facts(first, THREAD))).toBe(ESTALE);
    const second = await lookupBy(THREAD, "f");
    await ok(facts(second, THREAD));
    replace();
    expect(await errnoOf(facts(second, THREAD))).toBe(ESTALE);
    await lookupBy(THREAD, "f");
    expect(files.calls.filter((call) => call === "release")).toHaveLength(1);
  });

  test("is looked up without opening it by other threads, by other names, and to be truncated", async () => {
    fs.writeFileSync(join(root, "g"), "");
    const first = await lookupBy(THREAD, "f");
    replace();
    expect(await errnoOf(openBy(THREAD, first, 0o1002))).toBe(ESTALE);
    expect(await errnoOf(openBy(THREAD, first, 0o1002))).toBe(ESTALE);
    await lookupBy(THREAD, "f");
    const before = await lookupBy(THREAD, "f");
    replace();
    expect(await errnoOf(openBy(THREAD, before))).toBe(ESTALE);
    const opens = () => files.calls.filter((call) => call.startsWith("open ")).length;
    const count = opens();
    await lookupBy(OTHER, "f");
    await lookupBy(THREAD, "g");
    expect(opens()).toBe(count);
    const node = await lookupBy(THREAD, "f");
    expect(opens()).toBe(count + 1);
    expect(await errnoOf(openBy(OTHER, node))).toBe(0);
    // With other flags it is opened anew.
    expect(await errnoOf(openBy(THREAD, node, 2))).toBe(0);
    expect(opens()).toBe(count + 3);
  });

  test("is found if it cannot be opened", async () => {
    const first = await lookupBy(THREAD, "f");
    replace();
    expect(await errnoOf(openBy(THREAD, first))).toBe(ESTALE);
    files.before = (call) => {
      if (call.startsWith("open ")) throw new RemoteError(EPERM);
    };
    expect(await lookupBy(THREAD, "f")).toBeGreaterThan(first);
  });
});
