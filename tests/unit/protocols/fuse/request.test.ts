import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { FuseOpcode } from "../../../../src/protocols/fuse/constants.ts";
import { decodeFuseRequest } from "../../../../src/protocols/fuse/request.ts";
import {
  fieldsOf,
  FUSE_STRUCTS,
  fuseRequest,
  type FuseStruct,
  layOut,
  z,
} from "../../../support/fuse-structs.ts";

const HEADER = "/usr/include/linux/fuse.h";
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const hasHeader = existsSync(HEADER);

describe(hasHeader ? "linux/fuse.h" : "linux/fuse.h (skipped: the header is not installed)", () => {
  const header = hasHeader ? readFileSync(HEADER, "utf8") : "";

  test.skipIf(!hasHeader)("has the structures that the tests lay out", () => {
    for (const struct of Object.keys(FUSE_STRUCTS) as FuseStruct[]) {
      const body = new RegExp(`struct ${struct} \\{([^}]*)\\}`).exec(header)?.[1] ?? "";
      const fields = [...body.matchAll(/(u?)int(\d+)_t\s+(\w+)(?:\[(\d+)\])?;/g)].map(
        ([, sign, bits, name, count = "1"]) => ({
          name,
          bytes: (Number(bits) / 8) * Number(count),
          isSigned: sign !== "u",
        }),
      );
      expect({ struct, fields: fieldsOf(struct) as unknown }).toEqual({ struct, fields });
    }
  });

  test.skipIf(!hasHeader)("has the operations by these numbers", () => {
    const numbers = new Set(
      [...header.matchAll(/^\tFUSE_\w+\s*= (\d+),/gm)].map(([, number]) => Number(number)),
    );
    expect(Object.values(FuseOpcode).filter((opcode) => !numbers.has(opcode))).toEqual([]);
  });
});

/** The operation of a request with a body of structures and names. */
function decoded(opcode: number, ...parts: Uint8Array[]) {
  return decodeFuseRequest(fuseRequest(opcode, parts, { nodeid: 7 }))?.operation;
}

const RANGE = { fh: 0x1_0000_0003n, offset: 0x1_0000_0004n, size: 5 };
const NUMBERS = { handle: 2 ** 32 + 3, offset: 2 ** 32 + 4 };

describe("a request", () => {
  test("has its header", () => {
    const bytes = fuseRequest(FuseOpcode.ReadLink, [], {
      unique: 0x2_0000_0001n,
      nodeid: 0x3_0000_0002n,
      uid: 1000,
      gid: 100,
      pid: 42,
      total_extlen: 9,
    });
    expect(decodeFuseRequest(bytes)).toEqual({
      opcode: 5,
      unique: 2 ** 33 + 1,
      node: 3 * 2 ** 32 + 2,
      uid: 1000,
      gid: 100,
      pid: 42,
      operation: { op: "readLink" },
    });
  });

  test("is refused without a complete header, or with another length", () => {
    const bytes = fuseRequest(FuseOpcode.StatFilesystem, []);
    expect(decodeFuseRequest(bytes)?.operation).toEqual({ op: "statFilesystem" });
    expect(decodeFuseRequest(bytes.subarray(0, 39))).toBeUndefined();
    expect(decodeFuseRequest(new Uint8Array([...bytes, 0]))).toBeUndefined();
    expect(decodeFuseRequest(new Uint8Array(0))).toBeUndefined();
  });

  test.each([
    ["lookup", FuseOpcode.Lookup],
    ["unlink", FuseOpcode.Unlink],
    ["removeDirectory", FuseOpcode.RemoveDirectory],
  ])("%s has one name, of any bytes", (op, opcode) => {
    expect(decoded(opcode, Uint8Array.of(0xff, 10, 32, 0)) as unknown).toEqual({
      op,
      name: Uint8Array.of(0xff, 10, 32),
    });
  });

  test("names the nodes to forget", () => {
    expect(decoded(FuseOpcode.Forget, layOut("fuse_forget_in", { nlookup: 3 }))).toEqual({
      op: "forget",
      nodes: [{ node: 7, lookups: 3 }],
    });
    const batch = decoded(
      FuseOpcode.BatchForget,
      layOut("fuse_batch_forget_in", { count: 2 }),
      layOut("fuse_forget_one", { nodeid: 8, nlookup: 1 }),
      layOut("fuse_forget_one", { nodeid: 9, nlookup: 4 }),
    );
    expect(batch).toEqual({
      op: "forget",
      nodes: [
        { node: 8, lookups: 1 },
        { node: 9, lookups: 4 },
      ],
    });
  });

  test("with more nodes to forget than it has is malformed, without work for their number", () => {
    const count = layOut("fuse_batch_forget_in", { count: 0xffff_ffff });
    expect(decoded(FuseOpcode.BatchForget, count)).toEqual({ op: "malformed" });
  });

  test("reads attributes by node or by open file", () => {
    expect(decoded(FuseOpcode.GetAttributes, layOut("fuse_getattr_in", { fh: 5 }))).toEqual({
      op: "getAttributes",
      handle: undefined,
    });
    const byHandle = layOut("fuse_getattr_in", { getattr_flags: 1, fh: 5 });
    expect(decoded(FuseOpcode.GetAttributes, byHandle)).toEqual({ op: "getAttributes", handle: 5 });
  });

  const ATTRIBUTES = {
    fh: 1,
    size: 2,
    atime: -3n,
    mtime: 0x1_0000_0004n,
    atimensec: 5,
    mtimensec: 6,
    mode: 0o100644,
    uid: 7,
    gid: 8,
  };
  const changes = (valid: number) =>
    decoded(FuseOpcode.SetAttributes, layOut("fuse_setattr_in", { ...ATTRIBUTES, valid }));
  const NONE = {
    handle: undefined,
    mode: undefined,
    uid: undefined,
    gid: undefined,
    size: undefined,
    atime: undefined,
    mtime: undefined,
  };

  test.each([
    [0, {}],
    [1 << 0, { mode: 0o100644 }],
    [1 << 1, { uid: 7 }],
    [1 << 2, { gid: 8 }],
    [1 << 3, { size: 2 }],
    [1 << 4, { atime: { seconds: -3, nanoseconds: 5 } }],
    [1 << 5, { mtime: { seconds: 2 ** 32 + 4, nanoseconds: 6 } }],
    [1 << 6, { handle: 1 }],
    [(1 << 7) | (1 << 4), { atime: "now" as const }],
    [(1 << 8) | (1 << 5), { mtime: "now" as const }],
    [1 << 9, {}],
    [1 << 10, {}],
  ])("changes the attributes of the bits %i", (valid, expected) => {
    expect(changes(valid)).toEqual({ op: "setAttributes", changes: { ...NONE, ...expected } });
  });

  test("makes names", () => {
    expect(decoded(FuseOpcode.Symlink, z("name"), z("../target"))).toEqual({
      op: "symlink",
      name: new TextEncoder().encode("name"),
      target: new TextEncoder().encode("../target"),
    });
    const node = layOut("fuse_mknod_in", { mode: 0o10644, rdev: 9, umask: 1 });
    expect(decoded(FuseOpcode.MakeNode, node, z("fifo"))).toMatchObject({
      op: "makeNode",
      mode: 0o10644,
      rdev: 9,
    });
    const directory = layOut("fuse_mkdir_in", { mode: 0o755, umask: 1 });
    const made = decoded(FuseOpcode.MakeDirectory, directory, z("d"));
    expect(made).toMatchObject({ op: "makeDirectory", mode: 0o755, name: z("d").subarray(0, 1) });
    const create = layOut("fuse_create_in", { flags: 0o301, mode: 0o644, umask: 3, open_flags: 4 });
    expect(decoded(FuseOpcode.Create, create, z("f"))).toMatchObject({
      op: "create",
      flags: 0o301,
      mode: 0o644,
      name: z("f").subarray(0, 1),
    });
    expect(decoded(FuseOpcode.Link, layOut("fuse_link_in", { oldnodeid: 11 }), z("l"))).toEqual({
      op: "link",
      existing: 11,
      name: z("l").subarray(0, 1),
    });
  });

  test("renames, with flags and without", () => {
    const names = [z("old"), z("new")] as const;
    const plain = decoded(FuseOpcode.Rename, layOut("fuse_rename_in", { newdir: 3 }), ...names);
    const flagged = layOut("fuse_rename2_in", { newdir: 3, flags: 2 });
    const [name, newName] = names.map((bytes) => bytes.subarray(0, 3)) as [Uint8Array, Uint8Array];
    expect(plain).toEqual({ op: "rename", newParent: 3, name, newName, flags: 0 });
    expect(decoded(FuseOpcode.Rename2, flagged, ...names)).toEqual({
      op: "rename",
      newParent: 3,
      name,
      newName,
      flags: 2,
    });
  });

  test("appends if its program does, not for pages that are written back", () => {
    const isAppend = (writeFlags: number, flags: number) => {
      const head = layOut("fuse_write_in", { ...RANGE, write_flags: writeFlags, flags });
      const write = decoded(FuseOpcode.Write, head, new Uint8Array(5));
      return write?.op === "write" && write.isAppend;
    };
    expect([isAppend(0, 0o2001), isAppend(2, 0o2002)]).toEqual([true, true]);
    expect([isAppend(0, 0o1775), isAppend(1, 0o2001), isAppend(3, 0o2001)]).toEqual([
      false,
      false,
      false,
    ]);
  });

  test("opens, reads, writes and closes", () => {
    const open = layOut("fuse_open_in", { flags: 2, open_flags: 1 });
    expect(decoded(FuseOpcode.Open, open)).toEqual({ op: "open", flags: 2 });
    expect(decoded(FuseOpcode.OpenDirectory, open)).toEqual({ op: "openDirectory", flags: 2 });
    const read = layOut("fuse_read_in", { ...RANGE, read_flags: 1, lock_owner: 2, flags: 3 });
    expect(decoded(FuseOpcode.Read, read)).toEqual({ op: "read", ...NUMBERS, size: 5 });
    expect(decoded(FuseOpcode.ReadDirectory, read)).toMatchObject({ isPlus: false, ...NUMBERS });
    expect(decoded(FuseOpcode.ReadDirectoryPlus, read)).toMatchObject({ isPlus: true, size: 5 });
    const write = layOut("fuse_write_in", { ...RANGE, write_flags: 1, lock_owner: 2, flags: 3 });
    const data = Uint8Array.of(1, 0, 2, 0, 3);
    const written = { op: "write", ...NUMBERS, data, isAppend: false } as const;
    expect(decoded(FuseOpcode.Write, write, data)).toEqual(written);
    const release = layOut("fuse_release_in", { fh: 4, flags: 1, release_flags: 2, lock_owner: 3 });
    expect(decoded(FuseOpcode.Release, release)).toEqual({ op: "release", handle: 4 });
    expect(decoded(FuseOpcode.ReleaseDirectory, release)).toEqual({
      op: "releaseDirectory",
      handle: 4,
    });
    const flush = layOut("fuse_flush_in", { fh: 4, lock_owner: 3 });
    expect(decoded(FuseOpcode.Flush, flush)).toEqual({ op: "flush", handle: 4 });
  });

  test.each([
    ["fsync", FuseOpcode.Fsync],
    ["fsyncDirectory", FuseOpcode.FsyncDirectory],
  ])("%s is of all or of the data alone", (op, opcode) => {
    const of = (fsync_flags: number) =>
      decoded(opcode, layOut("fuse_fsync_in", { fh: 4, fsync_flags }));
    expect(of(0) as unknown).toEqual({ op, handle: 4, isDataOnly: false });
    expect(of(1) as unknown).toEqual({ op, handle: 4, isDataOnly: true });
  });

  test("has extended attributes", () => {
    const set = new Uint8Array(Uint32Array.of(3, 1).buffer);
    expect(decoded(FuseOpcode.SetXattr, set, z("user.a"), Uint8Array.of(1, 0, 3))).toEqual({
      op: "setXattr",
      name: z("user.a").subarray(0, 6),
      value: Uint8Array.of(1, 0, 3),
      flags: 1,
    });
    const size = layOut("fuse_getxattr_in", { size: 9 });
    expect(decoded(FuseOpcode.GetXattr, size, z("user.a"))).toMatchObject({
      op: "getXattr",
      size: 9,
    });
    expect(decoded(FuseOpcode.ListXattr, size)).toEqual({ op: "listXattr", size: 9 });
    const removed = decoded(FuseOpcode.RemoveXattr, z("user.a"));
    expect(removed?.op === "removeXattr" && text(removed.name)).toBe("user.a");
  });

  test("works on ranges of files", () => {
    const range = { fh: 1, offset: 2, length: 3, mode: 4 };
    expect(decoded(FuseOpcode.Fallocate, layOut("fuse_fallocate_in", range))).toEqual({
      op: "fallocate",
      handle: 1,
      offset: 2,
      length: 3,
      mode: 4,
    });
    const seek = layOut("fuse_lseek_in", { fh: 1, offset: 2, whence: 3 });
    expect(decoded(FuseOpcode.Seek, seek)).toEqual({ op: "seek", handle: 1, offset: 2, whence: 3 });
    const copy = { fh_in: 1, off_in: 2, nodeid_out: 3, fh_out: 4, off_out: 5, len: 6, flags: 7 };
    expect(decoded(FuseOpcode.CopyFileRange, layOut("fuse_copy_file_range_in", copy))).toEqual({
      op: "copyFileRange",
      from: { handle: 1, offset: 2 },
      to: { handle: 4, offset: 5 },
      length: 6,
    });
  });

  test("begins, interrupts and ends a session", () => {
    const init = { major: 7, minor: 45, max_readahead: 131_072, flags: 0x8000_0001, flags2: 3 };
    const expected = { op: "init", major: 7, minor: 45, maxReadAhead: 131_072, flags: 0x8000_0001 };
    const bytes = layOut("fuse_init_in", init);
    expect(decoded(FuseOpcode.Init, bytes) as unknown).toEqual({ ...expected, upperFlags: 3 });
    // Before 7.36.
    const older: unknown = decoded(FuseOpcode.Init, bytes.subarray(0, 16));
    expect(older).toEqual({ ...expected, upperFlags: 0 });
    expect(decoded(FuseOpcode.Interrupt, layOut("fuse_interrupt_in", { unique: 6 }))).toEqual({
      op: "interrupt",
      unique: 6,
    });
    expect(decoded(FuseOpcode.Destroy)).toEqual({ op: "destroy" });
    expect(decoded(FuseOpcode.Ioctl)).toEqual({ op: "ioctl" });
  });

  test("of an operation without a meaning here is unknown", () => {
    for (const opcode of [0, 31, 32, 33, 40, 48, 4096, 0xffff_ffff]) {
      expect(decoded(opcode)).toEqual({ op: "unknown" });
    }
  });

  test("that ends before its structure or its name is malformed, at every byte", () => {
    const whole: readonly (readonly [number, Uint8Array])[] = [
      [FuseOpcode.Rename2, Buffer.concat([layOut("fuse_rename2_in", {}), z("a"), z("b")])],
      [FuseOpcode.SetAttributes, layOut("fuse_setattr_in", {})],
      [FuseOpcode.Write, Buffer.concat([layOut("fuse_write_in", { size: 2 }), z("a")])],
      [FuseOpcode.Read, layOut("fuse_read_in", {})],
      [FuseOpcode.Create, Buffer.concat([layOut("fuse_create_in", {}), z("a")])],
      [FuseOpcode.MakeNode, Buffer.concat([layOut("fuse_mknod_in", {}), z("a")])],
      [FuseOpcode.MakeDirectory, Buffer.concat([layOut("fuse_mkdir_in", {}), z("a")])],
      [FuseOpcode.Release, layOut("fuse_release_in", {})],
      [FuseOpcode.Fsync, layOut("fuse_fsync_in", {})],
      [FuseOpcode.Open, layOut("fuse_open_in", {})],
      [FuseOpcode.Fallocate, layOut("fuse_fallocate_in", {})],
      [FuseOpcode.Seek, layOut("fuse_lseek_in", {})],
      [FuseOpcode.CopyFileRange, layOut("fuse_copy_file_range_in", {})],
      [FuseOpcode.GetAttributes, layOut("fuse_getattr_in", {})],
      [FuseOpcode.GetXattr, Buffer.concat([layOut("fuse_getxattr_in", {}), z("a")])],
      [FuseOpcode.Forget, layOut("fuse_forget_in", {})],
    ];
    for (const [opcode, body] of whole) {
      expect(decoded(opcode, body)?.op).not.toBe("malformed");
      for (let length = 0; length < body.length; length++) {
        expect(decoded(opcode, body.subarray(0, length))).toEqual({ op: "malformed" });
      }
    }
  });
});
