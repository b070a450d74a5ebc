/** Numbers of linux/fuse.h, version 7.38; they are the same on every architecture. */

/** Protocol versions: the oldest minor version that is served (Linux 5.4), and the newest that is known. */
export const FUSE_MAJOR = 7;
export const FUSE_MIN_MINOR = 31;
export const FUSE_MAX_MINOR = 38;

/** Node ID of the root. */
export const FUSE_ROOT_ID = 1;

/** sizeof(struct fuse_in_header) and sizeof(struct fuse_out_header). */
export const IN_HEADER_BYTES = 40;
export const OUT_HEADER_BYTES = 16;

/** enum fuse_opcode. */
export const FuseOpcode = {
  Lookup: 1,
  Forget: 2,
  GetAttributes: 3,
  SetAttributes: 4,
  ReadLink: 5,
  Symlink: 6,
  MakeNode: 8,
  MakeDirectory: 9,
  Unlink: 10,
  RemoveDirectory: 11,
  Rename: 12,
  Link: 13,
  Open: 14,
  Read: 15,
  Write: 16,
  StatFilesystem: 17,
  Release: 18,
  Fsync: 20,
  SetXattr: 21,
  GetXattr: 22,
  ListXattr: 23,
  RemoveXattr: 24,
  Flush: 25,
  Init: 26,
  OpenDirectory: 27,
  ReadDirectory: 28,
  ReleaseDirectory: 29,
  FsyncDirectory: 30,
  Access: 34,
  Create: 35,
  Interrupt: 36,
  Destroy: 38,
  Ioctl: 39,
  BatchForget: 42,
  Fallocate: 43,
  ReadDirectoryPlus: 44,
  Rename2: 45,
  Seek: 46,
  CopyFileRange: 47,
} as const;

/** Flags of INIT, in the lower 32 bits. */
export const InitFlag = {
  AsyncRead: 1 << 0,
  AtomicTruncate: 1 << 3,
  BigWrites: 1 << 5,
  AutoInvalidateData: 1 << 12,
  ReadDirectoryPlus: 1 << 13,
  ReadDirectoryPlusAuto: 1 << 14,
  AsyncDirectIo: 1 << 15,
  WritebackCache: 1 << 16,
  ParallelDirectoryOperations: 1 << 18,
  AbortError: 1 << 21,
  MaxPages: 1 << 22,
  CacheSymlinks: 1 << 23,
  /** The upper 32 bits are in use as well: FUSE_INIT_EXT, Linux 5.17. */
  UpperFlags: 1 << 30,
} as const;

/** Flags of INIT, in the upper 32 bits. */
export const InitUpperFlag = {
  /** Shared mappings of files with direct I/O: FUSE_DIRECT_IO_ALLOW_MMAP, Linux 6.6. */
  MapsDirectIo: 1 << 4,
} as const;

/** Flags of the answer to OPEN and CREATE. */
export const OpenedFlag = {
  DirectIo: 1 << 0,
  KeepCache: 1 << 1,
  CacheDirectory: 1 << 3,
} as const;

/** FUSE_GETATTR_FH and FUSE_FSYNC_FDATASYNC. */
export const GETATTR_HANDLE = 1;
export const FSYNC_DATA = 1;

/** FUSE_NOTIFY_INVAL_INODE. */
export const NOTIFY_INVALIDATE_NODE = 2;
