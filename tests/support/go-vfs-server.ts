/**
 * A server of the VFS protocol that answers as matchlock's does, byte for byte: its router with one directory
 * of the host at a mount point. It was compared with the Go program, request by request. CBOR that no guest
 * writes is not read as the Go program reads it: items of indefinite length, tags, keys in capitals or twice.
 */
import * as fs from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { posix } from "node:path";
import { decodeMap } from "../../src/protocols/vfs/cbor.ts";
import type { CborMap } from "../../src/protocols/vfs/cbor-values.ts";
import { VfsFrameReader } from "../../src/protocols/vfs/frame.ts";
import { type GoPair, goField, goMap } from "./go-cbor.ts";

const ERRNO = {
  ...{ EPERM: 1, ENOENT: 2, EIO: 5, EBADF: 9, EACCES: 13, EEXIST: 17, EROFS: 30 },
  ...{ ENOSYS: 38, ENOTEMPTY: 39 },
} as const;

/** The errno of an answer. */
class Refusal extends Error {
  readonly errno: number;

  constructor(errno: number) {
    super(`errno ${errno}`);
    this.errno = errno;
  }
}

const O_APPEND = 0o2000;
const O_CLOEXEC = 0o2_000_000;
/** Access for writing, O_CREAT, O_TRUNC and O_APPEND: what a read-only directory refuses. */
const CHANGING = 0o3 | 0o100 | 0o1000 | O_APPEND;

/** Go's mode bits, io/fs.FileMode, by the type in a Unix mode. */
const GO_TYPE = new Map([
  [0o040_000, 2 ** 31],
  [0o120_000, 2 ** 27],
  [0o060_000, 2 ** 26],
  [0o020_000, 2 ** 26 + 2 ** 21],
  [0o010_000, 2 ** 25],
  [0o140_000, 2 ** 24],
]);
const GO_SPECIAL = [
  [0o4000, 2 ** 23],
  [0o2000, 2 ** 22],
  [0o1000, 2 ** 20],
] as const;
const GO_DIRECTORY = 2 ** 31;

const has = (mode: number, bit: number) => Math.floor(mode / bit) % 2 === 1;
const goType = (mode: number) => GO_TYPE.get(mode & 0o170_000) ?? 0;

function goMode(mode: number): number {
  const special = GO_SPECIAL.filter(([unix]) => (mode & unix) !== 0);
  return special.reduce((sum, [, go]) => sum + go, goType(mode) + (mode & 0o777));
}

/** Of a request the server knows Go's bits alone. */
function unixMode(mode: number): number {
  const special = GO_SPECIAL.filter(([, go]) => has(mode, go));
  return special.reduce((sum, [unix]) => sum | unix, mode & 0o777);
}

function fnv1a(bytes: Uint8Array): bigint {
  let hash = 0xcbf2_9ce4_8422_2325n;
  for (const byte of bytes) hash = ((hash ^ BigInt(byte)) * 0x100_0000_01b3n) & (2n ** 64n - 1n);
  return hash < 2n ? hash + 2n : hash;
}

function inode({ dev, ino }: fs.BigIntStats): bigint {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64BE(dev);
  bytes.writeBigUInt64BE(ino, 8);
  return fnv1a(bytes);
}

function pathInode(path: string): bigint {
  return path === "/" ? 1n : fnv1a(Buffer.from(`${path}d`));
}

interface Facts {
  size: bigint;
  mode: number;
  mtime: number;
  ino: bigint;
}

function factsOf(stat: fs.BigIntStats): Facts {
  const mtime = Number(stat.mtimeNs / 1_000_000_000n);
  return { size: stat.size, mode: goMode(Number(stat.mode)), mtime, ino: inode(stat) };
}

function statField({ size, mode, mtime, ino }: Facts): GoPair {
  const isDirectory = has(mode, GO_DIRECTORY);
  return [
    "stat",
    {
      encoded: goMap([
        ["size", size],
        ["mode", mode],
        ["mtime", mtime],
        ["is_dir", isDirectory],
        ...goField("ino", ino),
      ]),
    },
  ];
}

interface Entry {
  name: Uint8Array;
  type: number;
  size: bigint;
  ino: bigint;
}

function encodeEntry({ name, type, size, ino }: Entry): Buffer {
  return goMap([
    ["name", { text: name }],
    ["is_dir", type === GO_DIRECTORY],
    ["mode", type],
    ["size", size],
    ...goField("ino", ino),
  ]);
}

/** As its errnoFromError: what the three predicates of package os know, and EIO for all others. */
function errnoOf(thrown: unknown): number {
  if (thrown instanceof Refusal) return thrown.errno;
  switch ((thrown as NodeJS.ErrnoException).code) {
    case "ENOENT":
      return ERRNO.ENOENT;
    case "EACCES":
    case "EPERM":
      return ERRNO.EACCES;
    case "EEXIST":
    case "ENOTEMPTY":
      return ERRNO.EEXIST;
    default:
      return ERRNO.EIO;
  }
}

/** Settings of {@link GoVfsServer.listen}. */
export interface GoVfsServerOptions {
  directory: string;
  mountPoint: string;
  isReadOnly?: boolean;
}

/** A request that was received. */
export interface SeenRequest {
  readonly [key: string]: unknown;
}

const U8_MAX = 255;
const LIMIT_BYTES = 64 * 1024 * 1024;
const TEXTS = ["path", "new_path"] as const;
const NUMBERS = ["fh", "off", "sz", "flags", "mode", "uid", "gid"] as const;

/** A listening server. */
export class GoVfsServer implements AsyncDisposable {
  readonly requests: SeenRequest[] = [];
  readonly #server: Server;
  readonly #options: GoVfsServerOptions;
  readonly #sockets = new Set<Socket>();
  /** Of the server, not of a connection. */
  readonly #handles = new Map<number, { fd: number; isAppend: boolean; isReadOnly: boolean }>();
  #lastHandle = 0;

  private constructor(options: GoVfsServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async listen(path: string, options: GoVfsServerOptions): Promise<GoVfsServer> {
    const server = new GoVfsServer(options);
    await new Promise<void>((resolve) => server.#server.listen(path, resolve));
    return server;
  }

  /** Handles that are open. */
  get openHandles(): number {
    return this.#handles.size;
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    const reader = new VfsFrameReader(LIMIT_BYTES);
    socket.on("error", () => undefined);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("data", (chunk: Buffer) => {
      try {
        for (const payload of reader.push(new Uint8Array(chunk))) {
          const body = this.#answer(decodeMap(payload.slice()));
          const length = Buffer.alloc(4);
          length.writeUInt32BE(body.length);
          socket.write(Buffer.concat([length, body]));
        }
      } catch {
        // What it cannot decode ends the connection without an answer.
        socket.destroy();
      }
    });
  }

  #answer(map: CborMap): Buffer {
    const op = map.get("op") ?? 0;
    if (typeof op !== "number" || op < 0 || op > U8_MAX) throw new Error("op is not a u8");
    for (const key of TEXTS) check(map, key, "string");
    for (const key of NUMBERS) check(map, key, "number");
    this.requests.push(Object.fromEntries(map));
    try {
      return goMap([["err", 0], ...this.#dispatch(op, map)]);
    } catch (thrown) {
      return goMap([["err", -errnoOf(thrown)]]);
    }
  }

  #dispatch(op: number, map: CborMap): GoPair[] {
    const path = (map.get("path") ?? "") as string;
    const number = (key: string) => (map.get(key) ?? 0) as number;
    switch (op) {
      case 0:
      case 1:
        return [this.#stat(path)];
      case 2:
        fs.chmodSync(this.#changed(path), unixMode(number("mode")));
        return [this.#stat(path)];
      case 3:
        return this.#read(number("fh"), number("off"), number("sz"));
      case 4:
        return this.#write(number("fh"), number("off"), (map.get("data") ?? EMPTY) as Uint8Array);
      case 5:
        return this.#create(path, number("mode"));
      case 6:
        fs.mkdirSync(this.#changed(path), unixMode(number("mode")));
        return [this.#stat(path)];
      case 7:
      case 8:
        remove(this.#changed(path));
        return [];
      case 9:
        rename(this.#changed(path), this.#changed((map.get("new_path") ?? "") as string));
        return [];
      case 10:
        return this.#open(path, number("flags"), number("mode"));
      case 11:
        return this.#release(number("fh"));
      case 12:
        return goField("entries", { list: this.#list(path).map(encodeEntry) });
      case 13:
        return this.#sync(number("fh"));
      default:
        throw new Refusal(ERRNO.ENOSYS);
    }
  }

  /** The host's path of one of the guest; undefined if it is not below the mount point. */
  #find(path: string): string | undefined {
    const clean = posix.normalize(path);
    const { directory, mountPoint } = this.#options;
    if (clean === mountPoint) return directory;
    return clean.startsWith(`${mountPoint}/`)
      ? `${directory}${clean.slice(mountPoint.length)}`
      : undefined;
  }

  #place(path: string): string {
    const found = this.#find(path);
    if (found === undefined) throw new Refusal(ERRNO.ENOENT);
    return found;
  }

  #changed(path: string): string {
    const place = this.#place(path);
    if (this.#options.isReadOnly === true) throw new Refusal(ERRNO.EROFS);
    return place;
  }

  /** The next name on the way from a path to the mount point. */
  #below(path: string): string | undefined {
    const above = path === "/" ? "/" : `${path}/`;
    const { mountPoint } = this.#options;
    return mountPoint.startsWith(above) ? mountPoint.slice(above.length).split("/")[0] : undefined;
  }

  #stat(path: string): GoPair {
    const clean = posix.normalize(path);
    const isMadeUp = this.#find(clean) === undefined && this.#below(clean) !== undefined;
    if (!isMadeUp) return statField(factsOf(fs.statSync(this.#place(clean), { bigint: true })));
    const mtime = Math.floor(Date.now() / 1000);
    return statField({ size: 0n, mode: GO_DIRECTORY + 0o755, mtime, ino: pathInode(clean) });
  }

  #keep(fd: number, flags: number): number {
    const isAppend = (flags & O_APPEND) !== 0;
    const isReadOnly = this.#options.isReadOnly === true;
    this.#handles.set(++this.#lastHandle, { fd, isAppend, isReadOnly });
    return this.#lastHandle;
  }

  #open(path: string, flags: number, mode: number): GoPair[] {
    const place = this.#place(path);
    if (this.#options.isReadOnly === true && (flags & CHANGING) !== 0) {
      throw new Refusal(ERRNO.EROFS);
    }
    const fd = fs.openSync(place, flags | O_CLOEXEC, unixMode(mode));
    return goField("fh", this.#keep(fd, flags));
  }

  #create(path: string, mode: number): GoPair[] {
    const fd = fs.openSync(this.#changed(path), "w+", unixMode(mode));
    const facts = factsOf(fs.fstatSync(fd, { bigint: true }));
    return [statField(facts), ...goField("fh", this.#keep(fd, 0))];
  }

  #handle(handle: number) {
    const found = this.#handles.get(handle);
    if (found === undefined) throw new Refusal(ERRNO.EBADF);
    return found;
  }

  #read(handle: number, offset: number, size: number): GoPair[] {
    const { fd } = this.#handle(handle);
    if (offset < 0) throw new Refusal(ERRNO.EIO);
    const buffer = Buffer.alloc(Math.min(size, LIMIT_BYTES));
    return goField("data", buffer.subarray(0, fs.readSync(fd, buffer, 0, buffer.length, offset)));
  }

  #write(handle: number, offset: number, data: Uint8Array): GoPair[] {
    const { fd, isAppend, isReadOnly } = this.#handle(handle);
    if (isReadOnly) throw new Refusal(ERRNO.EROFS);
    if (isAppend) throw new Refusal(ERRNO.EIO);
    return goField("written", fs.writeSync(fd, data, 0, data.length, offset));
  }

  #release(handle: number): GoPair[] {
    const found = this.#handles.get(handle);
    this.#handles.delete(handle);
    if (found !== undefined) fs.closeSync(found.fd);
    return [];
  }

  #sync(handle: number): GoPair[] {
    const found = this.#handles.get(handle);
    if (found !== undefined) fs.fsyncSync(found.fd);
    return [];
  }

  #list(path: string): Entry[] {
    const clean = posix.normalize(path);
    const below = this.#below(clean);
    if (this.#find(clean) === undefined && below !== undefined) {
      const child = posix.join(clean, below);
      const isEnd = child === this.#options.mountPoint;
      const size = isEnd ? fs.statSync(this.#options.directory, { bigint: true }).size : 0n;
      return [{ name: Buffer.from(below), type: GO_DIRECTORY, size, ino: pathInode(child) }];
    }
    const place = Buffer.from(`${this.#place(clean)}/`);
    const names = fs.readdirSync(place, "buffer").sort((a, b) => Buffer.compare(a, b));
    return names.map((name) => {
      const stat = fs.lstatSync(Buffer.concat([place, name]), { bigint: true });
      return { name, type: goType(Number(stat.mode)), size: stat.size, ino: inode(stat) };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    for (const { fd } of this.#handles.values()) fs.closeSync(fd);
    this.#handles.clear();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

const EMPTY = new Uint8Array(0);

function check(map: CborMap, key: string, type: "string" | "number"): void {
  const value = map.get(key);
  if (value === undefined) return;
  const isNegative = typeof value === "number" && value < 0 && key !== "off";
  if (typeof value !== type || isNegative) throw new Error(`${key} has another type`);
}

/** Go's os.Remove: unlink(2), then rmdir(2), and the error of the one that fits. */
function remove(path: string): void {
  try {
    fs.unlinkSync(path);
  } catch (first) {
    try {
      fs.rmdirSync(path);
    } catch (second) {
      throw (second as NodeJS.ErrnoException).code === "ENOTDIR" ? first : second;
    }
  }
}

/** Go's os.Rename: a file does not replace a directory. */
function rename(from: string, to: string): void {
  const target = fs.lstatSync(to, { throwIfNoEntry: false });
  if (target?.isDirectory() === true && (from === to || !fs.lstatSync(from).isDirectory())) {
    throw new Refusal(ERRNO.EEXIST);
  }
  fs.renameSync(from, to);
}
