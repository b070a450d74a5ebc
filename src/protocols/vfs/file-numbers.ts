/**
 * Numbers of Linux on the wire of exports, in both dialects: flags of open(2) and of renameat2(2), and modes.
 *
 * They are those of x86-64 on either side, whatever the architectures of the two are. The kernel's own
 * numbers, as FUSE sends them, are the same on x86-64 and arm64 but for O_DIRECTORY, O_NOFOLLOW, O_DIRECT and
 * O_LARGEFILE, so that a mount sends on the flags of this table alone without a translation.
 */

/** Flags of open(2), uapi/asm-generic/fcntl.h. */
export const OpenFlag = {
  /** Mask of the access mode; as a value it is none. */
  Access: 0o3,
  ReadOnly: 0o0,
  WriteOnly: 0o1,
  ReadWrite: 0o2,
  Create: 0o100,
  Exclusive: 0o200,
  Truncate: 0o1000,
  Append: 0o2000,
  DataSync: 0o10_000,
  /** 040000 on arm64. */
  Directory: 0o200_000,
  /** O_SYNC without the bit of O_DSYNC, which it has as well. */
  FullSync: 0o4_000_000,
} as const;

/** Both bits of O_SYNC. */
export const OPEN_SYNC = OpenFlag.FullSync | OpenFlag.DataSync;

/** Types of files in a mode, uapi/linux/stat.h. */
export const FileType = {
  Fifo: 0o010_000,
  CharacterDevice: 0o020_000,
  Directory: 0o040_000,
  BlockDevice: 0o060_000,
  Regular: 0o100_000,
  Link: 0o120_000,
  Socket: 0o140_000,
} as const;

/** Mask of the type in a mode, S_IFMT. */
const TYPE_BITS = 0o170_000;

/** Permission bits with set-user-ID, set-group-ID and the sticky bit. */
export const PERMISSION_BITS = 0o7777;

/** The bits in front of the permissions of user, group and others, uapi/linux/stat.h. */
export const SpecialBit = {
  SetUserId: 0o4000,
  SetGroupId: 0o2000,
  Sticky: 0o1000,
} as const;

/** Flags of renameat2(2), uapi/linux/fs.h. */
export const RenameFlag = {
  NoReplace: 1,
  Exchange: 2,
} as const;

/** Both flags of a rename that are served. */
export const RENAME_FLAGS = RenameFlag.NoReplace | RenameFlag.Exchange;

/** Bits in front of which a mode has its type: `d_type` of readdir(3) is the type without them, dirent.h. */
const DIRENT_SHIFT = 12;

/** Returns the type bits of a mode. */
export function typeOfMode(mode: number): number {
  return mode & TYPE_BITS;
}

/** Whether a mode is that of a directory. */
export function isDirectoryMode(mode: number): boolean {
  return typeOfMode(mode) === FileType.Directory;
}

/** Returns `d_type` of readdir(3) for a mode. */
export function direntType(mode: number): number {
  return typeOfMode(mode) >>> DIRENT_SHIFT;
}
