/**
 * Modes and inode numbers of the Go dialect: answers have the bits of Go's `fs.FileMode`, requests those
 * of Unix.
 */
import { FileType, PERMISSION_BITS, SpecialBit, typeOfMode } from "./file-numbers.ts";

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
  [FileType.Directory, GO_DIRECTORY],
  [FileType.Link, GO_SYMLINK],
  [FileType.BlockDevice, GO_DEVICE],
  [FileType.CharacterDevice, GO_DEVICE + GO_CHARACTER],
  [FileType.Fifo, GO_PIPE],
  [FileType.Socket, GO_SOCKET],
  [FileType.Regular, 0],
] as const;

/** The special bits with theirs of Go. */
const SPECIAL = [
  [SpecialBit.SetUserId, GO_SET_UID],
  [SpecialBit.SetGroupId, GO_SET_GID],
  [SpecialBit.Sticky, GO_STICKY],
] as const;

const ALL_SPECIAL = SpecialBit.SetUserId | SpecialBit.SetGroupId | SpecialBit.Sticky;

const ALL_TYPES = GO_DIRECTORY + GO_SYMLINK + GO_DEVICE + GO_PIPE + GO_SOCKET + GO_CHARACTER;

function masked(value: number, mask: number): number {
  return (value & mask) >>> 0;
}

/** Returns the type alone, as entries of a listing have it. */
export function goType(mode: number): number {
  return TYPES.find(([unix]) => typeOfMode(mode) === unix)?.[1] ?? 0;
}

/** Returns a Unix mode as Go's. */
export function toGoMode(mode: number): number {
  const special = SPECIAL.filter(([unix]) => (mode & unix) !== 0);
  return special.reduce((sum, [, go]) => sum + go, goType(mode) + (mode & PERMISSIONS));
}

/**
 * Returns permission bits as a request has them. The Go server knows the special bits as Go's alone, that of
 * vsockbox as those of Unix alone, and each ignores the others.
 */
export function toGoRequestMode(mode: number): number {
  return (mode & PERMISSION_BITS) + toGoMode(mode & ALL_SPECIAL);
}

/** Returns a mode of Go as a Unix mode with its type; what has no type is a regular file. */
export function fromGoMode(mode: number): number {
  const type = masked(mode, ALL_TYPES);
  const unixType = TYPES.find(([, go]) => go === type)?.[0] ?? FileType.Regular;
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

/** Bits of a minor number that are below the major number in `st_dev` of stat(2). */
const LOW_MINOR_BITS = 0xffn;
const U32 = 0xffff_ffffn;

/** Returns `st_dev` of a device, as stat(2) has it on 64 bits: linux/kdev_t.h, `new_encode_dev`. */
function statDevice(dev: bigint): bigint {
  const major = dev >> 32n;
  const minor = dev & U32;
  return (minor & LOW_MINOR_BITS) | (major << 8n) | ((minor & ~LOW_MINOR_BITS) << 12n);
}

/**
 * Returns the inode number of a file: FNV-1a over its device and inode, never 0 or 1.
 *
 * @param dev its major number in the upper 32 bits, its minor number in the lower ones.
 */
export function goInode(dev: bigint, ino: bigint): bigint {
  const bytes = new DataView(new ArrayBuffer(16));
  bytes.setBigUint64(0, statDevice(dev));
  bytes.setBigUint64(8, ino);
  return fnv1a(new Uint8Array(bytes.buffer));
}

/** Returns the inode number of a path that has no inode, such as a parent of the mount point. */
export function goPathInode(path: string, isDirectory: boolean): bigint {
  return fnv1a(new TextEncoder().encode(path + (isDirectory ? "d" : "f")));
}
