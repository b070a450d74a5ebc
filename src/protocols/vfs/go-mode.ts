/**
 * Modes and inode numbers of the Go dialect: answers have the bits of Go's `fs.FileMode`, requests those
 * of Unix.
 */

const S_IFMT = 0o170_000;
const S_IFDIR = 0o040_000;
const PERMISSIONS = 0o777;

/** Bits of Go's io/fs.FileMode. */
const GO_DIRECTORY = 2 ** 31;
const GO_SYMLINK = 2 ** 27;
const GO_DEVICE = 2 ** 26;
const GO_PIPE = 2 ** 25;
const GO_SOCKET = 2 ** 24;
const GO_SET_UID = 2 ** 23;
const GO_SET_GID = 2 ** 22;
const GO_CHARACTER = 2 ** 21;
const GO_STICKY = 2 ** 20;

/** Each type of a file with its bits of Unix and of Go. */
const TYPES = [
  [S_IFDIR, GO_DIRECTORY],
  [0o120_000, GO_SYMLINK],
  [0o060_000, GO_DEVICE],
  [0o020_000, GO_DEVICE + GO_CHARACTER],
  [0o010_000, GO_PIPE],
  [0o140_000, GO_SOCKET],
  [0o100_000, 0],
] as const;

/** The special bits with theirs of Go. */
const SPECIAL = [
  [0o4000, GO_SET_UID],
  [0o2000, GO_SET_GID],
  [0o1000, GO_STICKY],
] as const;

const ALL_TYPES = GO_DIRECTORY + GO_SYMLINK + GO_DEVICE + GO_PIPE + GO_SOCKET + GO_CHARACTER;

function masked(value: number, mask: number): number {
  return (value & mask) >>> 0;
}

/** Returns the type alone, as entries of a listing have it. */
export function goType(mode: number): number {
  return TYPES.find(([unix]) => (mode & S_IFMT) === unix)?.[1] ?? 0;
}

/** Returns a Unix mode as Go's. */
export function toGoMode(mode: number): number {
  const special = SPECIAL.filter(([unix]) => (mode & unix) !== 0);
  return special.reduce((sum, [, go]) => sum + go, goType(mode) + (mode & PERMISSIONS));
}

/** Returns a mode of Go as a Unix mode with its type; what has no type is a regular file. */
export function fromGoMode(mode: number): number {
  const type = masked(mode, ALL_TYPES);
  const unixType = TYPES.find(([, go]) => go === type)?.[0] ?? 0o100_000;
  const special = SPECIAL.filter(([, go]) => masked(mode, go) !== 0);
  return special.reduce((sum, [unix]) => sum | unix, unixType | (mode & PERMISSIONS));
}

const FNV_OFFSET = 0xcbf2_9ce4_8422_2325n;
const FNV_PRIME = 0x100_0000_01b3n;
const U64 = 2n ** 64n - 1n;

function fnv1a(bytes: Iterable<number>): bigint {
  let hash = FNV_OFFSET;
  for (const byte of bytes) hash = ((hash ^ BigInt(byte)) * FNV_PRIME) & U64;
  // 0 is not an inode, and 1 is the root of a guest's mount.
  return hash < 2n ? hash + 2n : hash;
}

/** Returns the inode number of a file: FNV-1a over its device and inode, never 0 or 1. */
export function goInode(dev: bigint, ino: bigint): bigint {
  const bytes = new DataView(new ArrayBuffer(16));
  bytes.setBigUint64(0, dev);
  bytes.setBigUint64(8, ino);
  return fnv1a(new Uint8Array(bytes.buffer));
}

/** Returns the inode number of a path that has no inode, such as a parent of the mount point. */
export function goPathInode(path: string, isDirectory: boolean): bigint {
  return fnv1a(new TextEncoder().encode(path + (isDirectory ? "d" : "f")));
}
