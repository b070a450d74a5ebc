/** Files that a program provides, here in memory, as a guest sees them. */
import { describe, expect, test } from "bun:test";
import { ERRNO } from "../../../../src/ffi/errno.ts";
import { unpackEntries } from "../../../../src/protocols/vfs/entries.ts";
import type { VfsRequest } from "../../../../src/protocols/vfs/requests.ts";
import {
  errnoOfError,
  type FilesProvider,
  ProvidedFiles,
  type ProvidedFile,
  statOf,
} from "../../../../src/vfs/server/provided-files.ts";
import { FLAGS, pathBytes } from "../../../support/vfs-export.ts";

type Held = ProvidedFile & { content: Buffer };

/** A file system in memory. */
function memory(): FilesProvider & { files: Map<string, Held> } {
  const held = (file: ProvidedFile): Held => ({ ...file, content: Buffer.alloc(0) });
  const files = new Map<string, Held>([["", held({ type: "directory" })]]);
  const at = (path: string) => {
    const file = files.get(path);
    if (file === undefined) throw Object.assign(new Error("missing"), { code: "ENOENT" });
    return file;
  };
  return {
    files,
    stat: (path) => {
      const file = files.get(path);
      return file === undefined ? undefined : { ...file, size: file.content.length || file.size };
    },
    list: (path) => {
      const prefix = path === "" ? "" : `${path}/`;
      const below = [...files.keys()].filter((name) => name !== "" && name.startsWith(prefix));
      return below.map((name) => name.slice(prefix.length)).filter((name) => !name.includes("/"));
    },
    read: (path, offset, size) => at(path).content.subarray(offset, offset + size),
    write: (path, offset, data) => {
      const file = at(path);
      const content = Buffer.alloc(Math.max(file.content.length, offset + data.length));
      file.content.copy(content);
      content.set(data, offset);
      file.content = content;
    },
    truncate: (path, size) => {
      const file = at(path);
      const content = Buffer.alloc(size);
      file.content.copy(content);
      file.content = content;
    },
    create: (path, mode) => void files.set(path, held({ type: "file", mode })),
    makeDirectory: (path, mode) => void files.set(path, held({ type: "directory", mode })),
    makeLink: (path, target) => void files.set(path, held({ type: "link", target })),
    remove: (path) => void files.delete(path),
    rename: (from, to) => {
      for (const [path, file] of [...files]) {
        if (path !== from && !path.startsWith(`${from}/`)) continue;
        files.delete(path);
        files.set(to + path.slice(from.length), file);
      }
    },
    setMode: (path, mode) => void (at(path).mode = mode),
    setTime: (path, mtimeMs) => void (at(path).mtimeMs = mtimeMs),
  };
}

function sessionOf(provider: FilesProvider, isReadOnly = false) {
  const session = new ProvidedFiles(provider, { isReadOnly, maxOpenFiles: 3 }).open();
  return async (request: VfsRequest) => session.handle(request);
}

const [a, b, d] = [pathBytes("a"), pathBytes("b"), pathBytes("d")];

describe("provided files", () => {
  test("are made, written, read, cut and removed", async () => {
    const provider = memory();
    const ask = sessionOf(provider);
    const made = await ask({ op: "create", path: a, flags: FLAGS.readWrite, mode: 0o600 });
    expect(made).toMatchObject({ errno: 0, handle: 1, stat: { mode: 0o100_600, size: 0 } });
    const handle = made.handle ?? 0;
    expect(await ask({ op: "write", handle, offset: 2, data: pathBytes("xyz") })).toEqual({
      errno: 0,
      written: 3,
    });
    const read = async (offset: number, size: number) =>
      Buffer.from((await ask({ op: "read", handle, offset, size })).data ?? []).toString();
    expect([await read(0, 100), await read(3, 1), await read(5, 10)]).toEqual(["\0\0xyz", "y", ""]);
    const set = { op: "setAttributes", path: a } as const;
    const changed = await ask({
      ...set,
      size: 3,
      mode: 0o4755,
      mtime: { seconds: -2, nanoseconds: 500_000_000 },
    });
    expect(changed.stat).toMatchObject({
      size: 3,
      mode: 0o104_755,
      mtime: { seconds: -2, nanoseconds: 500_000_000 },
    });
    await ask({ ...set, mtime: { seconds: 0, nanoseconds: 0x3fff_ffff } });
    expect(provider.files.get("a")?.mtimeMs).toBeGreaterThan(1_700_000_000_000);
    expect((await ask({ op: "unlink", path: a })).errno).toBe(0);
    expect((await ask({ op: "getattr", path: a, handle })).errno).toBe(ERRNO.ENOENT);
    expect([
      (await ask({ op: "release", handle })).errno,
      (await ask({ op: "release", handle })).errno,
    ]).toEqual([...[0, ERRNO.EBADF]]);
  });

  test("that exist are opened, emptied and refused by their flags", async () => {
    const provider = memory();
    const ask = sessionOf(provider);
    await provider.create?.("a", 0o600);
    await provider.write?.("a", 0, pathBytes("12345"));
    const create = { op: "create", path: a, mode: 0o600 } as const;
    expect(await ask({ ...create, flags: 1 | FLAGS.exclusive })).toEqual({ errno: ERRNO.EEXIST });
    const { handle = 0, stat } = await ask({ op: "open", path: a, flags: FLAGS.read });
    expect(stat?.size).toBe(5);
    expect((await ask({ op: "write", handle, offset: 0, data: a })).errno).toBe(ERRNO.EBADF);
    expect((await ask({ op: "open", path: a, flags: 1 | FLAGS.truncate })).stat?.size).toBe(0);
    expect((await ask({ op: "open", path: b, flags: 0 })).errno).toBe(ERRNO.ENOENT);
    expect((await ask({ ...create, flags: 1 })).errno).toBe(0);
    expect((await ask({ op: "open", path: a, flags: 0 })).errno).toBe(ERRNO.EMFILE);
  });

  test("have directories, links and renames", async () => {
    const ask = sessionOf(memory());
    expect((await ask({ op: "mkdir", path: d, mode: 0o700 })).stat?.mode).toBe(0o040_700);
    const child = pathBytes("d/c");
    const { handle = 0 } = await ask({ op: "create", path: child, flags: 2, mode: 0o600 });
    await ask({ op: "write", handle, offset: 0, data: pathBytes("kept") });
    expect((await ask({ op: "rmdir", path: d })).errno).toBe(ERRNO.ENOTEMPTY);
    expect((await ask({ op: "unlink", path: d })).errno).toBe(ERRNO.EISDIR);
    expect((await ask({ op: "rmdir", path: child })).errno).toBe(ERRNO.ENOTDIR);
    const link = await ask({ op: "symlink", target: pathBytes("../x"), newPath: b });
    expect(link.stat).toMatchObject({ mode: 0o120_777, size: 4 });
    expect(Buffer.from((await ask({ op: "readlink", path: b })).data ?? []).toString()).toBe(
      "../x",
    );
    expect((await ask({ op: "readlink", path: d })).errno).toBe(ERRNO.EINVAL);
    expect((await ask({ op: "open", path: b, flags: 0 })).errno).toBe(ERRNO.ELOOP);
    expect((await ask({ op: "open", path: d, flags: 1 })).errno).toBe(ERRNO.EISDIR);
    expect((await ask({ op: "rename", path: d, newPath: b, flags: 1 })).errno).toBe(ERRNO.EEXIST);
    expect((await ask({ op: "rename", path: d, newPath: b, flags: 2 })).errno).toBe(ERRNO.EINVAL);
    expect((await ask({ op: "rename", path: d, newPath: pathBytes("e"), flags: 0 })).errno).toBe(0);
    // The handle follows the name.
    const { data } = await ask({ op: "read", handle, offset: 0, size: 10 });
    expect(Buffer.from(data ?? []).toString()).toBe("kept");
  });

  test("are listed in pages, each name once, as they were when the listing began", async () => {
    const provider = memory();
    const ask = sessionOf(provider);
    const names = Array.from({ length: 50 }, (_, index) => `name-${index}`);
    for (const name of names) await provider.create?.(name, 0o600);
    const { handle = 0 } = await ask({ op: "open", path: pathBytes(""), flags: FLAGS.directory });
    const found: string[] = [];
    for (let offset = 0n; ;) {
      const { data } = await ask({ op: "readdirPlus", handle, offset, size: 1000 });
      const entries = unpackEntries(data ?? new Uint8Array(0));
      found.push(...entries.map(({ name }) => Buffer.from(name).toString()));
      const last = entries.at(-1);
      if (last === undefined) break;
      expect(last).toMatchObject({ type: 8, stat: { mode: 0o100_600 } });
      offset = last.offset;
      await provider.create?.("later", 0o600);
    }
    expect(found).toEqual(names);
    const again = await ask({ op: "readdir", handle, offset: 0n, size: 65_536 });
    expect(unpackEntries(again.data ?? new Uint8Array(0))).toHaveLength(51);
    expect((await ask({ op: "readdir", handle, offset: 0n, size: 399 })).errno).toBe(ERRNO.EINVAL);
    expect((await ask({ op: "readdir", handle: 9, offset: 0n, size: 4096 })).errno).toBe(
      ERRNO.EBADF,
    );
  });

  test("that are read-only are not changed", async () => {
    const provider = memory();
    await provider.create?.("a", 0o600);
    const ask = sessionOf(provider, true);
    for (const request of [
      { op: "create", path: b, flags: 0, mode: 0o600 },
      { op: "mkdir", path: b, mode: 0o755 },
      { op: "unlink", path: a },
      { op: "rename", path: a, newPath: b, flags: 0 },
      { op: "symlink", target: a, newPath: b },
      { op: "setAttributes", path: a, mode: 0 },
      { op: "open", path: a, flags: 1 },
    ] as const) {
      expect([request.op, (await ask(request)).errno]).toEqual([request.op, ERRNO.EROFS]);
    }
    expect((await ask({ op: "open", path: a, flags: 0 })).errno).toBe(0);
  });

  test("answer ENOSYS for what the program does not have", async () => {
    const isDirectory = (path: string) => path === "" || path === "directory";
    const ask = sessionOf({ stat: (path) => ({ type: isDirectory(path) ? "directory" : "file" }) });
    const { handle = 0 } = await ask({ op: "open", path: a, flags: FLAGS.readWrite });
    for (const request of [
      { op: "read", handle, offset: 0, size: 1 },
      { op: "write", handle, offset: 0, data: a },
      { op: "setAttributes", path: a, mode: 0 },
      { op: "mkdir", path: b, mode: 0o755 },
      { op: "unlink", path: a },
      { op: "rmdir", path: pathBytes("directory") },
      { op: "rename", path: a, newPath: b, flags: 0 },
      { op: "statfs" },
      { op: "link", path: a, newPath: b },
      { op: "getXattr", path: a, name: a },
    ] as const) {
      expect([request.op, (await ask(request)).errno]).toEqual([request.op, ERRNO.ENOSYS]);
    }
    expect([
      (await ask({ op: "flush", handle })).errno,
      (await ask({ op: "fsync", handle, flags: 0 })).errno,
    ]).toEqual([0, 0]);
  });

  test("have a root that is neither removed nor renamed", async () => {
    const ask = sessionOf(memory());
    const root = pathBytes("");
    for (const request of [
      { op: "rmdir", path: root },
      { op: "rename", path: root, newPath: a, flags: 0 },
      { op: "rename", path: a, newPath: root, flags: 0 },
    ] as const) {
      expect((await ask(request)).errno).toBe(ERRNO.EBUSY);
    }
  });

  test("fail as the program does", async () => {
    const failing = (code?: string) => ({
      stat: () => ({ type: "file" }) as const,
      read: () =>
        Promise.reject(Object.assign(new Error("no"), code === undefined ? {} : { code })),
    });
    for (const [code, errno] of [
      ["ENOSPC", 28],
      ["EACCES", 13],
      ["NO_SUCH", 5],
      [undefined, 5],
    ] as const) {
      const ask = sessionOf(failing(code));
      const { handle = 0 } = await ask({ op: "open", path: a, flags: 0 });
      expect(await ask({ op: "read", handle, offset: 0, size: 1 })).toEqual({ errno });
    }
    expect(errnoOfError("text")).toBe(5);
    const ask = sessionOf(memory());
    expect((await ask({ op: "lookup", path: pathBytes("\xff") })).errno).toBe(ERRNO.EILSEQ);
  });

  test("have facts with defaults", () => {
    expect(statOf("", { type: "directory" })).toMatchObject({ ino: 1n, mode: 0o040_755, size: 0 });
    expect(statOf("a", { type: "file", size: 513, mtimeMs: 1500.25 })).toMatchObject({
      ...{ mode: 0o100_644, size: 513, blocks: 2, nlink: 1 },
      mtime: { seconds: 1, nanoseconds: 500_250_000 },
    });
    expect(statOf("a", { type: "file" }).ino).not.toBe(statOf("b", { type: "file" }).ino);
  });
});
