/** Operations of an exported directory, on a real one. */
import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { ERRNO } from "../../../../src/ffi/errno.ts";
import { unpackEntries } from "../../../../src/protocols/vfs/entries.ts";
import { UTIME_NOW } from "../../../../src/protocols/vfs/fields.ts";
import type { VfsRequest } from "../../../../src/protocols/vfs/requests.ts";
import { HiddenNames } from "../../../../src/vfs/server/hidden-names.ts";
import { OwnerMap } from "../../../../src/vfs/server/owner-map.ts";
import { FLAGS, pathBytes, TestExport } from "../../../support/vfs-export.ts";

const isRoot = process.getuid?.() === 0;
const data = (text: string) => new Uint8Array(Buffer.from(text));

describe("facts", () => {
  test("are those of the file, to the nanosecond", () => {
    using files = new TestExport();
    writeFileSync(files.at("a"), "12345", { mode: 0o640 });
    const { errno, stat } = files.ask({ op: "lookup", path: pathBytes("a") });
    const real = lstatSync(files.at("a"), { bigint: true });
    expect(errno).toBe(0);
    expect(stat).toMatchObject({ mode: Number(real.mode), ino: real.ino, size: 5, nlink: 1 });
    expect(stat).toMatchObject({ uid: Number(real.uid), gid: Number(real.gid) });
    const nanoseconds = ({ seconds = 0, nanoseconds: part = 0 } = {}) =>
      BigInt(seconds) * 1_000_000_000n + BigInt(part);
    expect(nanoseconds(stat?.mtime)).toBe(real.mtimeNs);
    expect(nanoseconds(stat?.atime)).toBe(real.atimeNs);
    expect(nanoseconds(stat?.ctime)).toBe(real.ctimeNs);
    expect(stat?.blocks).toBe(Number(real.blocks));
  });

  test("of the root, of a link itself, of a name of any bytes, of a missing name", () => {
    using files = new TestExport();
    symlinkSync("nowhere", files.at("link"));
    writeFileSync(Buffer.from(`${files.root}/\xff\n`, "latin1"), "x");
    const modeOf = (path: string) => files.ask({ op: "lookup", path: pathBytes(path) }).stat?.mode;
    expect(modeOf("")).toBe(lstatSync(files.root).mode);
    expect(modeOf("link")).toBe(0o120_777);
    expect(files.ask({ op: "lookup", path: pathBytes("\xff\n") }).stat?.size).toBe(1);
    expect(files.ask({ op: "lookup", path: pathBytes("a") })).toEqual({ errno: ERRNO.ENOENT });
    expect(files.ask({ op: "lookup", path: pathBytes("link/a") })).toEqual({ errno: ERRNO.ELOOP });
  });

  test("by a handle are those of the open file, also after its name was removed", () => {
    using files = new TestExport();
    writeFileSync(files.at("a"), "old");
    const handle = files.open("a", FLAGS.read);
    rmSync(files.at("a"));
    writeFileSync(files.at("a"), "another");
    expect(files.ask({ op: "getattr", path: pathBytes("a"), handle }).stat).toMatchObject({
      size: 3,
      nlink: 0,
    });
    expect(files.ask({ op: "getattr", path: pathBytes("a") }).stat?.size).toBe(7);
    expect(files.ask({ op: "getattr", path: pathBytes("a"), handle: 99 })).toEqual({
      errno: ERRNO.EBADF,
    });
  });

  test("of the file system", () => {
    using files = new TestExport();
    const { fileSystem } = files.ask({ op: "statfs" });
    expect(fileSystem?.namelen).toBe(255);
    expect(fileSystem?.blocks).toBeGreaterThan(0);
    expect(fileSystem?.frsize).toBeGreaterThanOrEqual(512);
  });
});

describe("attributes", () => {
  test("change one by one, the others stay", () => {
    using files = new TestExport();
    writeFileSync(files.at("a"), "12345", { mode: 0o600 });
    const path = pathBytes("a");
    const set = (change: object) =>
      files.ask({ op: "setAttributes", path, ...change } as VfsRequest).stat;
    expect(set({ mode: 0o4751 })).toMatchObject({ mode: 0o104_751, size: 5 });
    expect(set({ size: 2 })?.size).toBe(2);
    expect(readFileSync(files.at("a"), "utf8")).toBe("12");
    const old = set({ mtime: { seconds: -5, nanoseconds: 7 } });
    expect(old?.mtime).toEqual({ seconds: -5, nanoseconds: 7 });
    const both = set({ atime: { seconds: 2 ** 32, nanoseconds: 999_999_999 } });
    expect(both).toMatchObject({
      atime: { seconds: 2 ** 32, nanoseconds: 999_999_999 },
      mtime: { seconds: -5, nanoseconds: 7 },
    });
    const now = set({ mtime: { seconds: 0, nanoseconds: UTIME_NOW } });
    expect(now?.mtime.seconds).toBeGreaterThan(1_700_000_000);
    expect(set({})?.size).toBe(2);
  });

  test("of an open file change by its handle, also without a name", () => {
    using files = new TestExport();
    writeFileSync(files.at("a"), "12345");
    const handle = files.open("a", FLAGS.readWrite);
    rmSync(files.at("a"));
    const { stat } = files.ask({
      op: "setAttributes",
      path: pathBytes("a"),
      handle,
      size: 1,
      mode: 0o604,
    });
    expect(stat).toMatchObject({ size: 1, mode: 0o100_604, nlink: 0 });
  });

  test("of a link are its own", () => {
    using files = new TestExport();
    writeFileSync(files.at("a"), "x");
    symlinkSync("a", files.at("link"));
    const mtime = { seconds: 5, nanoseconds: 6 };
    const path = pathBytes("link");
    expect(files.ask({ op: "setAttributes", path, mtime }).stat?.mtime).toEqual(mtime);
    expect(statSync(files.at("a")).mtimeMs).toBeGreaterThan(10_000);
    expect(files.ask({ op: "setAttributes", path, mode: 0o600 }).errno).toBe(ERRNO.EOPNOTSUPP);
  });

  test.skipIf(!isRoot)("have the owners of the map, in both directions", () => {
    const owners = new OwnerMap({
      users: [{ guest: 0, host: 4321 }],
      groups: [{ guest: 7, host: 8765 }],
    });
    using files = new TestExport({ owners });
    const made = files.ask({
      op: "create",
      path: pathBytes("a"),
      flags: FLAGS.write,
      mode: 0o600,
      uid: 0,
      gid: 7,
    });
    expect(made.stat).toMatchObject({ uid: 0, gid: 7 });
    expect(lstatSync(files.at("a"))).toMatchObject({ uid: 4321, gid: 8765 });
    const changed = files.ask({ op: "setAttributes", path: pathBytes("a"), gid: 9 });
    expect(changed.stat).toMatchObject({ uid: 0, gid: 9 });
    expect(lstatSync(files.at("a"))).toMatchObject({ uid: 4321, gid: 9 });
  });

  test.skipIf(!isRoot)("have one owner with squash, for every user of the guest", () => {
    using files = new TestExport({ owners: new OwnerMap({ squash: { uid: 55, gid: 66 } }) });
    const mine = { uid: 1, gid: 2 };
    for (const request of [
      { op: "mkdir", path: pathBytes("d"), mode: 0o755, ...mine },
      { op: "create", path: pathBytes("f"), flags: FLAGS.write, mode: 0o4755, ...mine },
      { op: "symlink", target: pathBytes("x"), newPath: pathBytes("l"), ...mine },
      { op: "mknod", path: pathBytes("p"), mode: 0o010_600, rdev: 0, ...mine },
    ] as const) {
      expect(files.ask(request).stat).toMatchObject({ uid: 55, gid: 66 });
    }
    // Changing the owner clears set-ID bits; the guest asked for them.
    expect(lstatSync(files.at("f")).mode).toBe(0o104_755);
    expect(files.ask({ op: "setAttributes", path: pathBytes("d"), uid: 3 }).errno).toBe(0);
    expect(lstatSync(files.at("d")).uid).toBe(55);
  });
});

describe("new files", () => {
  test.skipIf(!isRoot)("belong to the group of a directory that has set-group-ID", () => {
    using files = new TestExport();
    mkdirSync(files.at("d"));
    chownSync(files.at("d"), 0, 77);
    chmodSync(files.at("d"), 0o2755);
    const mine = { uid: 5, gid: 6 };
    const file = { op: "create", path: pathBytes("d/f"), flags: 1, mode: 0o644, ...mine } as const;
    expect(files.ask(file).stat).toMatchObject({ uid: 5, gid: 77, mode: 0o100_644 });
    const directory = { op: "mkdir", path: pathBytes("d/e"), mode: 0o755, ...mine } as const;
    expect(files.ask(directory).stat).toMatchObject({ uid: 5, gid: 77, mode: 0o042_755 });
    const outside = { ...file, path: pathBytes("f") };
    expect(files.ask(outside).stat).toMatchObject({ uid: 5, gid: 6 });
  });

  test("that only their handle may write are cut by it", () => {
    using files = new TestExport();
    const made = files.ask({ op: "create", path: pathBytes("a"), flags: 2, mode: 0o444 });
    const handle = made.handle ?? 0;
    files.ask({ op: "write", handle, offset: 0, data: data("12345") });
    expect(
      files.ask({ op: "setAttributes", path: pathBytes("a"), handle, size: 2 }).stat?.size,
    ).toBe(2);
    const reader = files.open("a", FLAGS.read);
    // As this user may by the path alone.
    const { errno } = files.ask({
      op: "setAttributes",
      path: pathBytes("a"),
      handle: reader,
      size: 1,
    });
    expect(errno).toBe(isRoot ? 0 : ERRNO.EACCES);
  });
});

describe("files", () => {
  test("are created with the mode that was asked for, whatever the umask is", () => {
    using files = new TestExport();
    const mask = process.umask(0o077);
    try {
      const made = files.ask({
        op: "create",
        path: pathBytes("a"),
        flags: FLAGS.readWrite,
        mode: 0o666,
      });
      expect([made.errno, made.stat?.mode]).toEqual([0, 0o100_666]);
      expect(files.ask({ op: "mkdir", path: pathBytes("d"), mode: 0o1777 }).stat?.mode).toBe(
        0o041_777,
      );
      expect(
        files.ask({ op: "mknod", path: pathBytes("p"), mode: 0o010_666, rdev: 0 }).stat?.mode,
      ).toBe(0o010_666);
    } finally {
      process.umask(mask);
    }
  });

  test("that exist are refused with O_EXCL, opened without, and emptied with O_TRUNC", () => {
    using files = new TestExport();
    writeFileSync(files.at("a"), "12345");
    const create = (flags: number) =>
      files.ask({ op: "create", path: pathBytes("a"), flags, mode: 0o600 });
    expect(create(FLAGS.write | FLAGS.exclusive)).toEqual({ errno: ERRNO.EEXIST });
    expect(create(FLAGS.write).stat?.size).toBe(5);
    expect(create(FLAGS.write | FLAGS.truncate).stat?.size).toBe(0);
    mkdirSync(files.at("d"));
    expect(files.ask({ op: "create", path: pathBytes("d"), flags: 1, mode: 0o600 })).toEqual({
      errno: ERRNO.EISDIR,
    });
    expect(files.ask({ op: "create", path: pathBytes(""), flags: 1, mode: 0o600 })).toEqual({
      errno: ERRNO.EISDIR,
    });
  });

  test("are read and written at offsets by several handles", () => {
    using files = new TestExport();
    const { handle = 0 } = files.ask({
      op: "create",
      path: pathBytes("a"),
      flags: FLAGS.readWrite,
      mode: 0o600,
    });
    expect(files.ask({ op: "write", handle, offset: 3, data: data("xyz") })).toEqual({
      errno: 0,
      written: 3,
    });
    const other = files.open("a", FLAGS.read);
    const read = (offset: number, size: number) =>
      files.ask({ op: "read", handle: other, offset, size }).data;
    expect(Buffer.from(read(0, 100) ?? [])).toEqual(Buffer.from("\0\0\0xyz"));
    expect(Buffer.from(read(4, 1) ?? [])).toEqual(Buffer.from("y"));
    expect(read(6, 10)).toHaveLength(0);
    expect(read(0, 0)).toBeUndefined();
    expect(files.ask({ op: "write", handle: other, offset: 0, data: data("no") })).toEqual({
      errno: ERRNO.EBADF,
    });
    expect(files.ask({ op: "write", handle, offset: 0, data: data("") })).toEqual({
      errno: 0,
      written: 0,
    });
  });

  test("opened with O_APPEND are written at the offset, or at the end if the write asks for it", () => {
    using files = new TestExport();
    writeFileSync(files.at("a"), "12345");
    const handle = files.open("a", FLAGS.write | FLAGS.append);
    files.ask({ op: "write", handle, offset: 1, data: data("x") });
    expect(readFileSync(files.at("a"), "utf8")).toBe("1x345");
    const append = { op: "write", handle, offset: 1, flags: 1 } as const;
    expect(files.ask({ ...append, data: data("67") })).toEqual({ errno: 0, written: 2 });
    expect(files.ask({ ...append, data: data("") })).toEqual({ errno: 0, written: 0 });
    expect(files.ask({ ...append, flags: 2, data: data("y") })).toEqual({ errno: 0, written: 1 });
    expect(readFileSync(files.at("a"), "utf8")).toBe("1y34567");
    const reader = files.open("a", FLAGS.read | FLAGS.append);
    expect(files.ask({ ...append, handle: reader, data: data("z") })).toEqual({
      errno: ERRNO.EBADF,
    });
  });

  test("are released once", () => {
    using files = new TestExport();
    writeFileSync(files.at("a"), "12345");
    const handle = files.open("a", FLAGS.read);
    expect(files.ask({ op: "flush", handle })).toEqual({ errno: 0 });
    expect(files.ask({ op: "release", handle })).toEqual({ errno: 0 });
    expect(files.ask({ op: "release", handle })).toEqual({ errno: ERRNO.EBADF });
    expect(files.ask({ op: "flush", handle })).toEqual({ errno: ERRNO.EBADF });
    expect(files.open("a", FLAGS.read)).toBeGreaterThan(handle);
  });

  test("are limited in number, and closed with the session", () => {
    using files = new TestExport({ maxOpenFiles: 2 });
    writeFileSync(files.at("a"), "12345");
    const first = files.open("a", FLAGS.read);
    files.open("a", FLAGS.read);
    const open: VfsRequest = { op: "open", path: pathBytes("a"), flags: 0 };
    expect(files.ask(open)).toEqual({ errno: ERRNO.EMFILE });
    expect(files.ask({ op: "create", path: pathBytes("b"), flags: 1, mode: 0o600 })).toEqual({
      errno: ERRNO.EMFILE,
    });
    expect(existsSync(files.at("b"))).toBe(false);
    files.ask({ op: "release", handle: first });
    expect(files.ask(open).errno).toBe(0);
    files.session.close();
    expect(files.ask({ op: "flush", handle: 2 })).toEqual({ errno: ERRNO.EBADF });
  });

  test("have holes, ranges and copies", () => {
    using files = new TestExport();
    const { handle = 0 } = files.ask({
      op: "create",
      path: pathBytes("a"),
      flags: FLAGS.readWrite,
      mode: 0o600,
    });
    expect(files.ask({ op: "fallocate", handle, offset: 0, length: 8192, flags: 0 }).errno).toBe(0);
    expect(statSync(files.at("a")).size).toBe(8192);
    expect(files.ask({ op: "fallocate", handle, offset: 0, length: 4096, flags: 0x8 })).toEqual({
      errno: ERRNO.EOPNOTSUPP,
    });
    files.ask({ op: "setAttributes", path: pathBytes("a"), size: 0 });
    files.ask({ op: "setAttributes", path: pathBytes("a"), size: 4 * 1024 * 1024 });
    files.ask({ op: "write", handle, offset: 2 * 1024 * 1024, data: data("data") });
    expect(files.ask({ op: "seek", handle, offset: 0, whence: 3 })).toEqual({
      errno: 0,
      offset: 2 * 1024 * 1024,
    });
    expect(files.ask({ op: "seek", handle, offset: 3 * 1024 * 1024, whence: 3 })).toEqual({
      errno: ERRNO.ENXIO,
    });
    expect(files.ask({ op: "seek", handle, offset: 0, whence: 2 })).toEqual({
      errno: ERRNO.EINVAL,
    });
    const { handle: toHandle = 0 } = files.ask({
      op: "create",
      path: pathBytes("b"),
      flags: FLAGS.write,
      mode: 0o600,
    });
    const copy = {
      op: "copyRange",
      handle,
      offset: 2 * 1024 * 1024,
      toHandle,
      toOffset: 1,
      length: 4,
    } as const;
    expect(files.ask(copy)).toEqual({ errno: 0, written: 4 });
    expect(readFileSync(files.at("b"), "utf8")).toBe("\0data");
    expect(files.ask({ ...copy, handle: toHandle, toHandle: 99 })).toEqual({ errno: ERRNO.EBADF });
  });

  test("are synchronised, later", async () => {
    using files = new TestExport();
    writeFileSync(files.at("a"), "12345");
    const handle = files.open("a", FLAGS.readWrite);
    const directory = files.open("", FLAGS.directory);
    expect(await files.session.handle({ op: "fsync", handle, flags: 0 })).toEqual({ errno: 0 });
    expect(await files.session.handle({ op: "fsync", handle, flags: 1 })).toEqual({ errno: 0 });
    expect(await files.session.handle({ op: "fsync", handle: directory, flags: 0 })).toEqual({
      errno: 0,
    });
    expect(files.ask({ op: "fsync", handle: 99, flags: 0 })).toEqual({ errno: ERRNO.EBADF });
  });
});

describe("names", () => {
  test("are made, read, linked, renamed and removed", () => {
    using files = new TestExport();
    const ask = (request: VfsRequest) => files.ask(request).errno;
    expect(ask({ op: "mkdir", path: pathBytes("d"), mode: 0o755 })).toBe(0);
    expect(
      ask({ op: "symlink", target: pathBytes("../../any text"), newPath: pathBytes("d/l") }),
    ).toBe(0);
    expect(readlinkSync(files.at("d/l"))).toBe("../../any text");
    expect(files.ask({ op: "readlink", path: pathBytes("d/l") }).data).toEqual(
      pathBytes("../../any text"),
    );
    expect(ask({ op: "readlink", path: pathBytes("d") })).toBe(ERRNO.EINVAL);
    expect(ask({ op: "readlink", path: pathBytes("") })).toBe(ERRNO.EINVAL);
    writeFileSync(files.at("d/f"), "x");
    expect(
      files.ask({ op: "link", path: pathBytes("d/f"), newPath: pathBytes("g") }).stat?.nlink,
    ).toBe(2);
    expect(ask({ op: "link", path: pathBytes("d/f"), newPath: pathBytes("g") })).toBe(ERRNO.EEXIST);
    expect(ask({ op: "rename", path: pathBytes("g"), newPath: pathBytes("d/h"), flags: 0 })).toBe(
      0,
    );
    expect(existsSync(files.at("g"))).toBe(false);
    expect(ask({ op: "rmdir", path: pathBytes("d") })).toBe(ERRNO.ENOTEMPTY);
    expect(ask({ op: "rmdir", path: pathBytes("d/h") })).toBe(ERRNO.ENOTDIR);
    expect(ask({ op: "unlink", path: pathBytes("d") })).toBe(ERRNO.EISDIR);
    for (const name of ["l", "f", "h"])
      expect(ask({ op: "unlink", path: pathBytes(`d/${name}`) })).toBe(0);
    expect(ask({ op: "rmdir", path: pathBytes("d") })).toBe(0);
    expect(ask({ op: "unlink", path: pathBytes("d") })).toBe(ERRNO.ENOENT);
  });

  test("are renamed with NOREPLACE and EXCHANGE, and no other flag", () => {
    using files = new TestExport();
    writeFileSync(files.at("a"), "a");
    writeFileSync(files.at("b"), "b");
    const rename = (flags: number) =>
      files.ask({ op: "rename", path: pathBytes("a"), newPath: pathBytes("b"), flags }).errno;
    expect(rename(1)).toBe(ERRNO.EEXIST);
    expect(rename(4)).toBe(ERRNO.EINVAL);
    expect(rename(2)).toBe(0);
    expect(readFileSync(files.at("a"), "utf8")).toBe("b");
    expect(rename(0)).toBe(0);
    expect(existsSync(files.at("a"))).toBe(false);
  });

  test("of the root itself cannot be changed", () => {
    using files = new TestExport();
    writeFileSync(files.at("a"), "a");
    const path = pathBytes("");
    const a = pathBytes("a");
    for (const request of [
      { op: "rmdir", path },
      { op: "unlink", path },
      { op: "rename", path, newPath: a, flags: 0 },
      { op: "rename", path: a, newPath: path, flags: 0 },
      { op: "link", path, newPath: a },
    ] as const) {
      expect([request, files.ask(request).errno]).toEqual([request, ERRNO.EBUSY]);
    }
    expect(files.ask({ op: "mkdir", path, mode: 0o755 })).toEqual({ errno: ERRNO.EEXIST });
  });

  test("of nodes are FIFOs, sockets and files, never devices", () => {
    using files = new TestExport();
    const mknod = (name: string, mode: number) =>
      files.ask({ op: "mknod", path: pathBytes(name), mode, rdev: 0x103 });
    expect(mknod("fifo", 0o010_640).stat?.mode).toBe(0o010_640);
    expect(mknod("socket", 0o140_600).stat?.mode).toBe(0o140_600);
    expect(mknod("file", 0o100_600).stat?.mode).toBe(0o100_600);
    expect(mknod("character", 0o020_600)).toEqual({ errno: ERRNO.EPERM });
    expect(mknod("block", 0o060_600)).toEqual({ errno: ERRNO.EPERM });
    expect(files.list("")).toEqual(["fifo", "file", "socket"]);
  });
});

describe("listings", () => {
  test("have each name once, in pages of any size", () => {
    using files = new TestExport();
    const names = Array.from({ length: 500 }, (_, i) => `${"n".repeat(i % 200)}${i}`).sort();
    for (const name of names) writeFileSync(files.at(name), "");
    for (const size of [2000, 4096, 100_000, 1 << 30]) expect(files.list("", size)).toEqual(names);
  });

  test("have facts of each entry, and continue after any of them", () => {
    using files = new TestExport();
    mkdirSync(files.at("d"));
    writeFileSync(files.at("f"), "12345");
    symlinkSync("x", files.at("l"));
    const handle = files.open("", FLAGS.directory);
    const page = (op: "readdir" | "readdirPlus", offset: bigint) =>
      unpackEntries(files.ask({ op, handle, offset, size: 65_536 }).data ?? new Uint8Array(0));
    const all = page("readdirPlus", 0n);
    const typeOf = new Map(
      all.map(({ name, type, stat }) => [Buffer.from(name).toString(), [type, stat?.mode]]),
    );
    expect([typeOf.get("f"), typeOf.get("l")]).toEqual([
      [8, lstatSync(files.at("f")).mode],
      [10, 0o120_777],
    ]);
    expect(all).toHaveLength(3);
    for (const [index, { offset }] of all.entries()) {
      const rest = page("readdir", offset);
      expect(rest.map(({ name, stat }) => [Buffer.from(name).toString(), stat])).toEqual(
        all.slice(index + 1).map(({ name }) => [Buffer.from(name).toString(), undefined]),
      );
    }
    expect(page("readdir", 0n).map(({ ino }) => ino)).toEqual(all.map(({ ino }) => ino));
  });

  test("begin anew at 0, with what is there now", () => {
    using files = new TestExport();
    const handle = files.open("", FLAGS.directory);
    const count = () =>
      unpackEntries(
        files.ask({ op: "readdir", handle, offset: 0n, size: 4096 }).data ?? new Uint8Array(0),
      ).length;
    expect(count()).toBe(0);
    writeFileSync(files.at("a"), "");
    expect(count()).toBe(1);
  });

  test("need a handle of a directory and space for an entry", () => {
    using files = new TestExport();
    writeFileSync(files.at("a"), "");
    const file = files.open("a", FLAGS.read);
    const handle = files.open("", FLAGS.directory);
    const page = (of: number, size: number) =>
      files.ask({ op: "readdir", handle: of, offset: 0n, size }).errno;
    expect([page(file, 4096), page(99, 4096), page(handle, 279), page(handle, 280)]).toEqual([
      ...[ERRNO.ENOTDIR, ERRNO.EBADF, ERRNO.EINVAL, 0],
    ]);
    expect(files.ask({ op: "read", handle, offset: 0, size: 5 })).toEqual({ errno: ERRNO.EBADF });
    expect(files.ask({ op: "open", path: pathBytes("a"), flags: FLAGS.directory })).toEqual({
      errno: ERRNO.ENOTDIR,
    });
    expect(files.ask({ op: "open", path: pathBytes(""), flags: FLAGS.write })).toEqual({
      errno: ERRNO.EISDIR,
    });
  });
});

describe("a read-only export", () => {
  test("refuses every change with EROFS, and reads", () => {
    using files = new TestExport({ isReadOnly: true });
    writeFileSync(files.at("a"), "12345");
    const path = pathBytes("a");
    const newPath = pathBytes("b");
    const changes: VfsRequest[] = [
      { op: "create", path: newPath, flags: 0, mode: 0o600 },
      { op: "mkdir", path: newPath, mode: 0o755 },
      { op: "unlink", path },
      { op: "rmdir", path },
      { op: "rename", path, newPath, flags: 0 },
      { op: "symlink", target: path, newPath },
      { op: "link", path, newPath },
      { op: "mknod", path: newPath, mode: 0o010_600, rdev: 0 },
      { op: "setAttributes", path, mode: 0 },
      { op: "setXattr", path, name: pathBytes("user.a"), data: path, flags: 0 },
      { op: "removeXattr", path, name: pathBytes("user.a") },
      { op: "open", path, flags: FLAGS.write },
      { op: "open", path, flags: FLAGS.readWrite },
    ];
    for (const request of changes)
      expect([request.op, files.ask(request).errno]).toEqual([request.op, ERRNO.EROFS]);
    // O_TRUNC without the right to write does nothing.
    const handle = files.open("a", FLAGS.read | FLAGS.truncate);
    expect(files.ask({ op: "write", handle, offset: 0, data: path })).toEqual({
      errno: ERRNO.EBADF,
    });
    expect(files.ask({ op: "fallocate", handle, offset: 0, length: 1, flags: 0 })).toEqual({
      errno: ERRNO.EBADF,
    });
    expect(files.ask({ op: "read", handle, offset: 0, size: 9 }).data).toEqual(data("12345"));
    expect(files.list("")).toEqual(["a"]);
  });
});

describe("hidden names", () => {
  test("are not there, at any depth, and cannot be made", () => {
    using files = new TestExport({ hidden: new HiddenNames([".ssh", "*.pem"]) });
    mkdirSync(files.at(".ssh"));
    writeFileSync(files.at(".ssh/key"), "secret");
    mkdirSync(files.at("d"));
    writeFileSync(files.at("d/a.pem"), "secret");
    writeFileSync(files.at("d/b"), "x");
    for (const path of [".ssh", ".ssh/key", "d/a.pem"].map(pathBytes)) {
      const to = pathBytes("x");
      for (const request of [
        { op: "lookup", path },
        { op: "open", path, flags: 0 },
        { op: "readlink", path },
        { op: "unlink", path },
        { op: "setAttributes", path, mode: 0o777 },
        { op: "rename", path, newPath: to, flags: 0 },
        { op: "link", path, newPath: to },
      ] as const) {
        expect([request.op, files.ask(request).errno]).toEqual([request.op, ERRNO.ENOENT]);
      }
      for (const request of [
        { op: "create", path, flags: 1, mode: 0o600 },
        { op: "mkdir", path, mode: 0o755 },
        { op: "mknod", path, mode: 0o010_600, rdev: 0 },
        { op: "symlink", target: to, newPath: path },
        { op: "rename", path: pathBytes("d/b"), newPath: path, flags: 0 },
        { op: "link", path: pathBytes("d/b"), newPath: path },
      ] as const) {
        expect([request.op, files.ask(request).errno]).toEqual([request.op, ERRNO.EACCES]);
      }
    }
    expect([files.list(""), files.list("d")]).toEqual([["d"], ["b"]]);
    renameSync(files.at("d"), files.at("e"));
    expect(files.ask({ op: "lookup", path: pathBytes("e/a.pem") })).toEqual({
      errno: ERRNO.ENOENT,
    });
  });

  test("alone on a page do not end a listing", () => {
    using files = new TestExport({ hidden: new HiddenNames(["h*"]) });
    for (let i = 0; i < 300; i++) writeFileSync(files.at(`h${"x".repeat(200)}${i}`), "");
    writeFileSync(files.at("seen"), "");
    expect(files.list("", 2000)).toEqual(["seen"]);
  });

  test("are not reached by links of guests whose links are followed", () => {
    using files = new TestExport({ hidden: new HiddenNames([".ssh"]), followsLinks: true });
    mkdirSync(files.at(".ssh"));
    writeFileSync(files.at(".ssh/key"), "secret");
    writeFileSync(files.at("open"), "x");
    symlinkSync(".ssh/key", files.at("a"));
    symlinkSync(".ssh", files.at("d"));
    symlinkSync("open", files.at("b"));
    const open = (path: string) => files.ask({ op: "open", path: pathBytes(path), flags: 0 }).errno;
    expect([open("a"), open("d"), open("d/key"), open("b")]).toEqual([2, 2, 2, 0]);
  });
});

describe("extended attributes", () => {
  const path = pathBytes("a");
  const name = pathBytes("user.color");

  test("are refused without the option", () => {
    using files = new TestExport();
    writeFileSync(files.at("a"), "");
    expect(files.files.features).toEqual(["notify"]);
    for (const request of [
      { op: "getXattr", path, name },
      { op: "listXattr", path },
      { op: "setXattr", path, name, data: path, flags: 0 },
      { op: "removeXattr", path, name },
    ] as const) {
      expect(files.ask(request)).toEqual({ errno: ERRNO.EOPNOTSUPP });
    }
  });

  test("of the user are served, others are not", () => {
    using files = new TestExport({ hasXattr: true });
    expect(files.files.features).toEqual(["notify", "xattr"]);
    writeFileSync(files.at("a"), "");
    const set = (flags: number) =>
      files.ask({ op: "setXattr", path, name, data: data("red"), flags }).errno;
    if (set(0) === ERRNO.EOPNOTSUPP) return; // The file system of the scratch directory has none.
    expect([set(1), set(2), set(4)]).toEqual([ERRNO.EEXIST, 0, ERRNO.EINVAL]);
    expect(files.ask({ op: "getXattr", path, name }).data).toEqual(data("red"));
    expect(files.ask({ op: "listXattr", path }).data).toEqual(Buffer.from("user.color\0"));
    expect(files.ask({ op: "removeXattr", path, name })).toEqual({ errno: 0 });
    expect(files.ask({ op: "getXattr", path, name })).toEqual({ errno: ERRNO.ENODATA });
    for (const other of ["security.capability", "trusted.a", "system.posix_acl_access", "user."]) {
      expect(
        files.ask({ op: "setXattr", path, name: pathBytes(other), data: path, flags: 0 }),
      ).toEqual({
        errno: ERRNO.EOPNOTSUPP,
      });
    }
  });
});

test("operations without a meaning here are answered with ENOSYS", () => {
  using files = new TestExport();
  expect(files.ask({ op: "cancel", target: 1 })).toEqual({ errno: ERRNO.ENOSYS });
});

test("a hard link that leads in is a file like any other", () => {
  using files = new TestExport();
  writeFileSync(files.outside("o"), "outside");
  linkSync(files.outside("o"), files.at("in"));
  expect(files.ask({ op: "lookup", path: pathBytes("in") }).stat?.nlink).toBe(2);
});
