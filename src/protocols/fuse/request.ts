/**
 * Requests of the kernel, as read(2) of /dev/fuse returns them: `struct fuse_in_header`, the structure of
 * the operation, then names (each with a NUL) or data. One read returns one request.
 *
 *   len u32, opcode u32, unique u64, nodeid u64, uid u32, gid u32, pid u32, extensions u16, padding u16
 *
 * All integers have the byte order of the host, which is little-endian on every architecture of this
 * program. Names and data are views of the buffer: who reads it again copies them first.
 */
import { FSYNC_DATA, FuseOpcode, GETATTR_HANDLE, IN_HEADER_BYTES } from "./constants.ts";
import { readI64, readU64 } from "./words.ts";

/** A time of a file; the seconds may be negative. */
export interface FuseTime {
  seconds: number;
  nanoseconds: number;
}

/** Fields that SETATTR changes; undefined ones stay. */
export interface FuseChanges {
  /** The open file to change; undefined: by node. */
  handle: number | undefined;
  mode: number | undefined;
  uid: number | undefined;
  gid: number | undefined;
  size: number | undefined;
  atime: FuseTime | "now" | undefined;
  mtime: FuseTime | "now" | undefined;
}

/** One node and how many of its lookups are to be forgotten. */
export interface Forgotten {
  node: number;
  lookups: number;
}

/** Operations that have the same fields. */
type Each<Op extends string, Fields extends object> = Op extends string
  ? { op: Op } & Fields
  : never;

/** What a request asks for, by `op`. */
export type FuseOperation =
  | Each<"lookup" | "unlink" | "removeDirectory", { name: Uint8Array }>
  | { op: "forget"; nodes: readonly Forgotten[] }
  | { op: "getAttributes"; handle: number | undefined }
  | { op: "setAttributes"; changes: FuseChanges }
  | Each<"readLink" | "statFilesystem" | "destroy", object>
  | { op: "symlink"; name: Uint8Array; target: Uint8Array }
  | { op: "makeNode"; name: Uint8Array; mode: number; rdev: number }
  | { op: "makeDirectory"; name: Uint8Array; mode: number }
  | { op: "rename"; name: Uint8Array; newParent: number; newName: Uint8Array; flags: number }
  | { op: "link"; existing: number; name: Uint8Array }
  | Each<"open" | "openDirectory", { flags: number }>
  | { op: "create"; name: Uint8Array; flags: number; mode: number }
  | { op: "read"; handle: number; offset: number; size: number }
  | { op: "readDirectory"; handle: number; offset: number; size: number; isPlus: boolean }
  | {
      op: "write";
      handle: number;
      offset: number;
      data: Uint8Array;
      /** Whether a program appends: the offset is where the kernel believes that the file ends. */
      isAppend: boolean;
    }
  | Each<"release" | "releaseDirectory" | "flush", { handle: number }>
  | Each<"fsync" | "fsyncDirectory", { handle: number; isDataOnly: boolean }>
  | { op: "setXattr"; name: Uint8Array; value: Uint8Array; flags: number }
  | { op: "getXattr"; name: Uint8Array; size: number }
  | { op: "listXattr"; size: number }
  | { op: "removeXattr"; name: Uint8Array }
  | {
      op: "init";
      major: number;
      minor: number;
      maxReadAhead: number;
      flags: number;
      /** 0 from a kernel that has no such flags. */
      upperFlags: number;
    }
  | { op: "interrupt"; unique: number }
  | { op: "fallocate"; handle: number; offset: number; length: number; mode: number }
  | { op: "seek"; handle: number; offset: number; whence: number }
  | { op: "copyFileRange"; from: CopyEnd; to: CopyEnd; length: number }
  | { op: "ioctl" }
  /** An operation that is not served, such as locks, which the kernel then keeps itself. */
  | { op: "unknown" }
  /** A known operation whose structure is incomplete. */
  | { op: "malformed" };

/** One file of COPY_FILE_RANGE. */
export interface CopyEnd {
  handle: number;
  offset: number;
}

/** A request. */
export interface FuseRequest {
  opcode: number;
  /** The answer carries the same number. */
  unique: number;
  /** Node ID; 0 for requests without a file. */
  node: number;
  uid: number;
  gid: number;
  pid: number;
  operation: FuseOperation;
}

/** How many nodes one BATCH_FORGET names at most: the kernel sends less than a page. */
const MAX_FORGOTTEN = 65_536;

/** A cursor over the body, which notes a read beyond its end instead of throwing. */
class Body {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = IN_HEADER_BYTES;
  isShort = false;

  constructor(bytes: Uint8Array, view: DataView) {
    this.#bytes = bytes;
    this.#view = view;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  #next(count: number): number | undefined {
    const at = this.#at;
    this.#at += count;
    if (this.#at <= this.#bytes.length) return at;
    this.isShort = true;
    return undefined;
  }

  u32(): number {
    const at = this.#next(4);
    return at === undefined ? 0 : this.#view.getUint32(at, true);
  }

  u64(): number {
    const at = this.#next(8);
    return at === undefined ? 0 : readU64(this.#view, at);
  }

  i64(): number {
    const at = this.#next(8);
    return at === undefined ? 0 : readI64(this.#view, at);
  }

  skip(count: number): void {
    this.#next(count);
  }

  /** A name up to its NUL. */
  name(): Uint8Array {
    const end = this.#bytes.indexOf(0, this.#at);
    if (end < 0) {
      this.isShort = true;
      return new Uint8Array(0);
    }
    const name = this.#bytes.subarray(this.#at, end);
    this.#at = end + 1;
    return name;
  }

  data(count: number): Uint8Array {
    const at = this.#next(count);
    return at === undefined ? new Uint8Array(0) : this.#bytes.subarray(at, at + count);
  }
}

type Decode = (body: Body, node: number) => FuseOperation;

const named =
  (op: "lookup" | "unlink" | "removeDirectory"): Decode =>
  (body) => ({ op, name: body.name() });

/** READ and READDIR have one structure: fuse_read_in. */
function rangeOf(body: Body) {
  const range = { handle: body.u64(), offset: body.u64(), size: body.u32() };
  body.skip(20);
  return range;
}

/** FUSE_WRITE_CACHE: a page is written back, by any of the file's handles. */
const WRITE_CACHE = 1;
/** The same on each architecture. */
const O_APPEND = 0o2000;

/** fuse_write_in, then the data. */
const decodeWrite: Decode = (body) => {
  const [handle, offset, size, writeFlags] = [body.u64(), body.u64(), body.u32(), body.u32()];
  body.skip(8);
  const isAppend = has(body.u32(), O_APPEND) && !has(writeFlags, WRITE_CACHE);
  body.skip(4);
  return { op: "write", handle, offset, data: body.data(size), isAppend };
};

function has(valid: number, bit: number): boolean {
  return (valid & bit) !== 0;
}

/** fuse_setattr_in; its bits are those of FATTR_…. */
const decodeSetAttributes: Decode = (body) => {
  const valid = body.u32();
  body.skip(4);
  const [handle, size] = [body.u64(), body.u64()];
  body.skip(8);
  const seconds = [body.i64(), body.i64()] as const;
  body.skip(8);
  const nanoseconds = [body.u32(), body.u32()] as const;
  body.skip(4);
  const mode = body.u32();
  body.skip(4);
  const [uid, gid] = [body.u32(), body.u32()];
  body.skip(4);
  const time = (index: 0 | 1): FuseTime | "now" | undefined => {
    if (has(valid, 0x80 << index)) return "now";
    if (!has(valid, 0x10 << index)) return undefined;
    return { seconds: seconds[index], nanoseconds: nanoseconds[index] };
  };
  return {
    op: "setAttributes",
    changes: {
      handle: has(valid, 0x40) ? handle : undefined,
      mode: has(valid, 1) ? mode : undefined,
      uid: has(valid, 2) ? uid : undefined,
      gid: has(valid, 4) ? gid : undefined,
      size: has(valid, 8) ? size : undefined,
      atime: time(0),
      mtime: time(1),
    },
  };
};

const decodeBatchForget: Decode = (body) => {
  const count = body.u32();
  body.skip(4);
  const nodes: Forgotten[] = [];
  while (nodes.length < Math.min(count, MAX_FORGOTTEN) && !body.isShort) {
    nodes.push({ node: body.u64(), lookups: body.u64() });
  }
  return { op: "forget", nodes };
};

function handleWith(op: "release" | "releaseDirectory" | "flush"): Decode {
  return (body) => {
    const handle = body.u64();
    body.skip(16);
    return { op, handle };
  };
}

function fsync(op: "fsync" | "fsyncDirectory"): Decode {
  return (body) => {
    const handle = body.u64();
    const isDataOnly = (body.u32() & FSYNC_DATA) !== 0;
    body.skip(4);
    return { op, handle, isDataOnly };
  };
}

function open(op: "open" | "openDirectory"): Decode {
  return (body) => {
    const flags = body.u32();
    body.skip(4);
    return { op, flags };
  };
}

function readDirectory(isPlus: boolean): Decode {
  return (body) => ({ op: "readDirectory", ...rangeOf(body), isPlus });
}

const DECODERS: Readonly<Record<number, Decode>> = {
  [FuseOpcode.Lookup]: named("lookup"),
  [FuseOpcode.Unlink]: named("unlink"),
  [FuseOpcode.RemoveDirectory]: named("removeDirectory"),
  [FuseOpcode.Forget]: (body, node) => ({ op: "forget", nodes: [{ node, lookups: body.u64() }] }),
  [FuseOpcode.BatchForget]: decodeBatchForget,
  [FuseOpcode.GetAttributes]: (body) => {
    const flags = body.u32();
    body.skip(4);
    const handle = body.u64();
    return { op: "getAttributes", handle: has(flags, GETATTR_HANDLE) ? handle : undefined };
  },
  [FuseOpcode.SetAttributes]: decodeSetAttributes,
  [FuseOpcode.ReadLink]: () => ({ op: "readLink" }),
  [FuseOpcode.StatFilesystem]: () => ({ op: "statFilesystem" }),
  [FuseOpcode.Destroy]: () => ({ op: "destroy" }),
  [FuseOpcode.Symlink]: (body) => ({ op: "symlink", name: body.name(), target: body.name() }),
  [FuseOpcode.MakeNode]: (body) => {
    const [mode, rdev] = [body.u32(), body.u32()];
    body.skip(8);
    return { op: "makeNode", mode, rdev, name: body.name() };
  },
  [FuseOpcode.MakeDirectory]: (body) => {
    const mode = body.u32();
    body.skip(4);
    return { op: "makeDirectory", mode, name: body.name() };
  },
  [FuseOpcode.Rename]: (body) => ({
    op: "rename",
    newParent: body.u64(),
    name: body.name(),
    newName: body.name(),
    flags: 0,
  }),
  [FuseOpcode.Rename2]: (body) => {
    const [newParent, flags] = [body.u64(), body.u32()];
    body.skip(4);
    return { op: "rename", newParent, flags, name: body.name(), newName: body.name() };
  },
  [FuseOpcode.Link]: (body) => ({ op: "link", existing: body.u64(), name: body.name() }),
  [FuseOpcode.Open]: open("open"),
  [FuseOpcode.OpenDirectory]: open("openDirectory"),
  [FuseOpcode.Create]: (body) => {
    const [flags, mode] = [body.u32(), body.u32()];
    body.skip(8);
    return { op: "create", flags, mode, name: body.name() };
  },
  [FuseOpcode.Read]: (body) => ({ op: "read", ...rangeOf(body) }),
  [FuseOpcode.ReadDirectory]: readDirectory(false),
  [FuseOpcode.ReadDirectoryPlus]: readDirectory(true),
  [FuseOpcode.Write]: decodeWrite,
  [FuseOpcode.Release]: handleWith("release"),
  [FuseOpcode.ReleaseDirectory]: handleWith("releaseDirectory"),
  [FuseOpcode.Flush]: handleWith("flush"),
  [FuseOpcode.Fsync]: fsync("fsync"),
  [FuseOpcode.FsyncDirectory]: fsync("fsyncDirectory"),
  // Without FUSE_SETXATTR_EXT, which is not asked for, the structure ends after the flags.
  [FuseOpcode.SetXattr]: (body) => {
    const [size, flags] = [body.u32(), body.u32()];
    return { op: "setXattr", flags, name: body.name(), value: body.data(size) };
  },
  [FuseOpcode.GetXattr]: (body) => {
    const size = body.u32();
    body.skip(4);
    return { op: "getXattr", size, name: body.name() };
  },
  [FuseOpcode.ListXattr]: (body) => ({ op: "listXattr", size: body.u32() }),
  [FuseOpcode.RemoveXattr]: (body) => ({ op: "removeXattr", name: body.name() }),
  [FuseOpcode.Init]: (body) => ({
    op: "init",
    major: body.u32(),
    minor: body.u32(),
    maxReadAhead: body.u32(),
    flags: body.u32(),
    upperFlags: body.isAtEnd ? 0 : body.u32(),
  }),
  [FuseOpcode.Interrupt]: (body) => ({ op: "interrupt", unique: body.u64() }),
  [FuseOpcode.Fallocate]: (body) => {
    const [handle, offset, length, mode] = [body.u64(), body.u64(), body.u64(), body.u32()];
    body.skip(4);
    return { op: "fallocate", handle, offset, length, mode };
  },
  [FuseOpcode.Seek]: (body) => {
    const [handle, offset, whence] = [body.u64(), body.u64(), body.u32()];
    body.skip(4);
    return { op: "seek", handle, offset, whence };
  },
  [FuseOpcode.CopyFileRange]: (body) => {
    const from = { handle: body.u64(), offset: body.u64() };
    body.skip(8);
    const to = { handle: body.u64(), offset: body.u64() };
    const length = body.u64();
    body.skip(8);
    return { op: "copyFileRange", from, to, length };
  },
  [FuseOpcode.Ioctl]: () => ({ op: "ioctl" }),
};

/**
 * Decodes one request.
 *
 * @param bytes what one read(2) returned; names and data are views of it.
 * @returns undefined if that is not a request: shorter than a header, or of another length than its own.
 */
export function decodeFuseRequest(bytes: Uint8Array): FuseRequest | undefined {
  if (bytes.length < IN_HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(0, true) !== bytes.length) return undefined;
  const opcode = view.getUint32(4, true);
  const node = readU64(view, 16);
  return {
    opcode,
    unique: readU64(view, 8),
    node,
    uid: view.getUint32(24, true),
    gid: view.getUint32(28, true),
    pid: view.getUint32(32, true),
    operation: operationOf(opcode, node, new Body(bytes, view)),
  };
}

function operationOf(opcode: number, node: number, body: Body): FuseOperation {
  const decode = DECODERS[opcode];
  if (decode === undefined) return { op: "unknown" };
  const operation = decode(body, node);
  return body.isShort ? { op: "malformed" } : operation;
}
