/** Guests that try to leave the root of an export, or to stop the host: neither is possible. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { ERRNO } from "../../src/ffi/errno.ts";
import type { VfsRequest } from "../../src/protocols/vfs/requests.ts";
import { Running, ScratchDirectory } from "../support/binary.ts";
import { goRequest, RawVfsClient, VfsTestClient } from "../support/vfs-client.ts";
import { FLAGS, pathBytes } from "../support/vfs-export.ts";

const isRoot = process.getuid?.() === 0;
const scratch = new ScratchDirectory();
const root = scratch.file("root");
const outside = scratch.file("outside");
const socket = scratch.file("export.sock");
let running: Running;

beforeAll(async () => {
  mkdirSync(root);
  mkdirSync(outside);
  writeFileSync(join(outside, "secret"), "secret");
  running = new Running(["export", root, "--listen", `unix:${socket}`]);
  await running.says("listening on");
});
afterAll(async () => {
  await running[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

const at = (path: string) => join(root, path);

/** Each operation that names a file by a path. */
function onPath(path: Uint8Array): VfsRequest[] {
  const other = pathBytes("other");
  return [
    { op: "lookup", path },
    { op: "getattr", path },
    { op: "open", path, flags: FLAGS.read },
    { op: "open", path, flags: FLAGS.readWrite | FLAGS.truncate },
    { op: "create", path, flags: FLAGS.readWrite, mode: 0o600 },
    { op: "mkdir", path, mode: 0o755 },
    { op: "mknod", path, mode: 0o010_600, rdev: 0 },
    { op: "symlink", target: other, newPath: path },
    { op: "link", path, newPath: other },
    { op: "link", path: pathBytes("file"), newPath: path },
    { op: "rename", path, newPath: other, flags: 0 },
    { op: "rename", path: pathBytes("file"), newPath: path, flags: 0 },
    { op: "rename", path: pathBytes("file"), newPath: path, flags: 2 },
    { op: "unlink", path },
    { op: "rmdir", path },
    { op: "readlink", path },
    { op: "setAttributes", path, mode: 0o777, size: 0, mtime: { seconds: 1, nanoseconds: 1 } },
    { op: "getXattr", path, name: pathBytes("user.a") },
    { op: "setXattr", path, name: pathBytes("user.a"), data: other, flags: 0 },
    { op: "listXattr", path },
    { op: "removeXattr", path, name: pathBytes("user.a") },
  ];
}

/** Each operation on an open file. */
function onHandle(handle: number): VfsRequest[] {
  return [
    { op: "getattr", path: pathBytes(""), handle },
    { op: "setAttributes", path: pathBytes(""), handle, mode: 0 },
    { op: "read", handle, offset: 0, size: 100 },
    { op: "write", handle, offset: 0, data: pathBytes("x") },
    { op: "readdir", handle, offset: 0n, size: 4096 },
    { op: "readdirPlus", handle, offset: 0n, size: 4096 },
    { op: "fsync", handle, flags: 0 },
    { op: "flush", handle },
    { op: "fallocate", handle, offset: 0, length: 1, flags: 0 },
    { op: "seek", handle, offset: 0, whence: 3 },
    { op: "copyRange", handle, offset: 0, toHandle: handle, toOffset: 0, length: 1 },
    { op: "release", handle },
  ];
}

test("no path leads out: `..`, slashes, links to files and directories", async () => {
  using guest = await VfsTestClient.open(socket);
  writeFileSync(at("file"), "x");
  mkdirSync(at("d"));
  symlinkSync("../outside", at("relative"));
  symlinkSync(outside, at("absolute"));
  symlinkSync(join(outside, "secret"), at("d/link"));
  symlinkSync("/proc/self/root", at("magic"));
  for (const path of [
    "..",
    "../outside/secret",
    "d/../../outside/secret",
    `${outside}/secret`,
    "/",
    "d/..",
  ]) {
    for (const request of onPath(pathBytes(path))) {
      expect([path, request.op, (await guest.ask(request)).errno]).toEqual([
        path,
        request.op,
        ERRNO.EINVAL,
      ]);
    }
  }
  for (const path of ["relative/secret", "absolute/secret", "d/link/x", "magic/etc/passwd"]) {
    for (const request of onPath(pathBytes(path))) {
      const { errno } = await guest.ask(request);
      expect([
        path,
        request.op,
        [ERRNO.ELOOP, ERRNO.ENOTDIR, ERRNO.EOPNOTSUPP].includes(errno as never),
      ]).toEqual([...[path, request.op, true]]);
    }
  }
  // A link at the end is itself.
  expect(
    (await guest.ask({ op: "open", path: pathBytes("d/link"), flags: FLAGS.readWrite })).errno,
  ).toBe(ERRNO.ELOOP);
  expect(
    (await guest.ask({ op: "create", path: pathBytes("d/link"), flags: 2, mode: 0o600 })).errno,
  ).toBe(ERRNO.ELOOP);
  await guest.ask({ op: "setAttributes", path: pathBytes("d/link"), size: 0, mode: 0o777 });
  expect(readFileSync(join(outside, "secret"), "utf8")).toBe("secret");
  expect(readdirSync(outside)).toEqual(["secret"]);
});

describe.each(["ours", "go"])(
  "a directory that another process swaps for a link (%s)",
  (dialect) => {
    test("never shows or changes what the link leads to", async () => {
      const name = `swap-${dialect}`;
      mkdirSync(at(name));
      writeFileSync(at(`${name}/secret`), "inside");
      // The link and the directory trade places as fast as a process can do it.
      symlinkSync("../outside", at(`${name}.link`));
      const script = `
      import { dlopen, ptr } from "bun:ffi";
      const libc = dlopen("libc.so.6", { renameat2: { args: ["i32", "ptr", "i32", "ptr", "u32"], returns: "i32" } });
      const [a, b] = process.argv.slice(2).map((text) => Buffer.from(text + "\\0"));
      console.log("swapping");
      for (;;) libc.symbols.renameat2(-100, ptr(a), -100, ptr(b), 2);
    `;
      const file = scratch.file(`swap-${dialect}.ts`);
      writeFileSync(file, script);
      const swapper = Bun.spawn([process.execPath, file, at(name), at(`${name}.link`)], {
        stdout: "pipe",
      });
      try {
        await swapper.stdout.getReader().read();
        const found = await (dialect === "ours" ? attackOurs(name) : attackGo(name));
        expect(found.has("secret")).toBe(false);
        expect(found.has("inside") || found.has("written")).toBe(true);
      } finally {
        swapper.kill("SIGKILL");
        await swapper.exited;
      }
      expect(readFileSync(join(outside, "secret"), "utf8")).toBe("secret");
      expect(readdirSync(outside)).toEqual(["secret"]);
    });
  },
);

const ROUNDS = 400;

/** Reads, writes, makes and removes below the swapped directory; returns the contents that it has read. */
async function attackOurs(name: string): Promise<Set<string>> {
  using guest = await VfsTestClient.open(socket);
  const found = new Set<string>();
  const path = pathBytes(`${name}/secret`);
  const made = pathBytes(`${name}/made`);
  for (let round = 0; round < ROUNDS; round++) {
    const flags = round % 2 === 0 ? FLAGS.read : FLAGS.readWrite;
    const { handle } = await guest.ask({ op: "open", path, flags });
    const batch: VfsRequest[] = [
      { op: "setAttributes", path, mode: 0o666 },
      { op: "create", path: made, flags: 1, mode: 0o600 },
      { op: "unlink", path: made },
      { op: "mkdir", path: pathBytes(`${name}/dir`), mode: 0o755 },
      { op: "rmdir", path: pathBytes(`${name}/dir`) },
      { op: "link", path, newPath: pathBytes(`${name}/hard`) },
      { op: "unlink", path: pathBytes(`${name}/hard`) },
    ];
    await Promise.all(batch.map((request) => guest.ask(request)));
    if (handle === undefined) continue;
    const { data } = await guest.ask({ op: "read", handle, offset: 0, size: 100 });
    found.add(Buffer.from(data ?? []).toString());
    if (flags !== FLAGS.read)
      await guest.ask({ op: "write", handle, offset: 0, data: pathBytes("inside") });
    await guest.ask({ op: "release", handle });
  }
  return found;
}

async function attackGo(name: string): Promise<Set<string>> {
  using guest = new RawVfsClient(socket);
  await guest.ask(goRequest(1, { path: "/w" }));
  const found = new Set<string>();
  const path = `/w/${name}/secret`;
  for (let round = 0; round < ROUNDS; round++) {
    const handle = (await guest.ask(goRequest(10, { path, flags: 2 }))).get("fh");
    await guest.ask(goRequest(2, { path, mode: 0o666 }));
    await guest.ask(goRequest(5, { path: `/w/${name}/made`, mode: 0o600 }));
    await guest.ask(goRequest(7, { path: `/w/${name}/made` }));
    if (typeof handle !== "number") continue;
    const data = (await guest.ask(goRequest(3, { fh: handle, sz: 100 }))).get("data");
    found.add(Buffer.from((data as Uint8Array | undefined) ?? []).toString());
    await guest.ask(goRequest(4, { fh: handle, data: Buffer.from("inside") }));
    await guest.ask(goRequest(11, { fh: handle }));
  }
  return found;
}

test("FIFOs, sockets and devices of the tree are not opened, and do not stop the host", async () => {
  using guest = await VfsTestClient.open(socket);
  mkdirSync(at("nodes"));
  Bun.spawnSync(["mkfifo", at("nodes/fifo")]);
  const names = ["fifo"];
  if (isRoot && Bun.spawnSync(["mknod", at("nodes/null"), "c", "1", "3"]).exitCode === 0)
    names.push("null");
  await guest.ask({ op: "mknod", path: pathBytes("nodes/socket"), mode: 0o140_600, rdev: 0 });
  names.push("socket");
  for (const name of names) {
    const path = pathBytes(`nodes/${name}`);
    for (const flags of [FLAGS.read, FLAGS.write, FLAGS.readWrite | FLAGS.truncate]) {
      expect([name, flags, (await guest.ask({ op: "open", path, flags })).errno]).toEqual([
        name,
        flags,
        ERRNO.ENXIO,
      ]);
      expect([name, (await guest.ask({ op: "create", path, flags, mode: 0o600 })).errno]).toEqual([
        name,
        ERRNO.ENXIO,
      ]);
    }
    expect((await guest.ask({ op: "setAttributes", path, size: 0 })).errno).toBe(ERRNO.EINVAL);
    expect((await guest.ask({ op: "lookup", path })).errno).toBe(0);
  }
  using go = new RawVfsClient(socket);
  await go.ask(goRequest(1, { path: "/w" }));
  expect((await go.ask(goRequest(10, { path: "/w/nodes/fifo", flags: 1 }))).get("err")).toBe(
    -ERRNO.ENXIO,
  );
  expect((await go.ask(goRequest(5, { path: "/w/nodes/fifo", mode: 33_188 }))).get("err")).toBe(
    -ERRNO.ENXIO,
  );
});

test("a hard link into the tree shows its file, and no new one leads out", async () => {
  using guest = await VfsTestClient.open(socket);
  writeFileSync(scratch.file("shared"), "shared");
  linkSync(scratch.file("shared"), at("hard"));
  const { handle = 0 } = await guest.ask({
    op: "open",
    path: pathBytes("hard"),
    flags: FLAGS.read,
  });
  const { data } = await guest.ask({ op: "read", handle, offset: 0, size: 100 });
  expect(Buffer.from(data ?? []).toString()).toBe("shared");
  const newPath = pathBytes("../hard");
  expect((await guest.ask({ op: "link", path: pathBytes("hard"), newPath })).errno).toBe(
    ERRNO.EINVAL,
  );
});

test("every operation on a stale, a foreign and an unknown handle is refused", async () => {
  using guest = await VfsTestClient.open(socket);
  using other = await VfsTestClient.open(socket);
  writeFileSync(at("stale"), "12345");
  const open = { op: "open", path: pathBytes("stale"), flags: FLAGS.readWrite } as const;
  const { handle: stale = 0 } = await guest.ask(open);
  await guest.ask({ op: "release", handle: stale });
  for (let i = 0; i < 5; i++) await other.ask(open);
  for (const handle of [stale, 5, 0, 1234, 2 ** 32 - 1]) {
    for (const request of onHandle(handle)) {
      expect([handle, request.op, (await guest.ask(request)).errno]).toEqual([
        handle,
        request.op,
        ERRNO.EBADF,
      ]);
    }
  }
  // A handle of a directory is none of a file.
  const { handle: directory = 0 } = await guest.ask({
    op: "open",
    path: pathBytes(""),
    flags: FLAGS.directory,
  });
  for (const request of onHandle(directory)) {
    const isOfDirectories = [
      "getattr",
      "setAttributes",
      "readdir",
      "readdirPlus",
      "fsync",
      "flush",
      "release",
    ].includes(request.op);
    if (request.op === "setAttributes") continue;
    expect([request.op, (await guest.ask(request)).errno]).toEqual([
      request.op,
      isOfDirectories ? 0 : ERRNO.EBADF,
    ]);
  }
});
