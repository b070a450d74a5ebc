/**
 * Numbers of the VFS protocol: operations, limits and the features of a Hello. docs/protocols/vfs.md has
 * the table of operations with their keys.
 */

/** Largest frame that is accepted, in bytes without its length; the wire allows 4 GiB. */
export const MAX_FRAME_BYTES = 4 * 1024 * 1024;

/** Largest read and write, in bytes; FUSE has no larger ones with 256 pages. */
export const MAX_IO_BYTES = 1024 * 1024;

/** Requests of one connection that the server holds at a time. */
export const MAX_IN_FLIGHT = 128;

/** Flag of a write: at the end of the file. */
export const WRITE_APPENDS = 1;

/** Counts incompatible changes of what follows a Hello. */
export const VFS_VERSION = 1;

/** The operation of a Hello; a Go server answers -ENOSYS. */
export const HELLO = 200;

/** Operations of the Go dialect. Its guest sends 0 to 13, its server has no others. */
export const GO_OPERATIONS = {
  lookup: 0,
  getattr: 1,
  setattr: 2,
  read: 3,
  write: 4,
  create: 5,
  mkdir: 6,
  unlink: 7,
  rmdir: 8,
  rename: 9,
  open: 10,
  release: 11,
  readdir: 12,
  fsync: 13,
  mkdirAll: 14,
  truncate: 15,
  symlink: 16,
  readlink: 17,
  link: 18,
} as const;

/** Name of an operation of the Go dialect. */
export type GoOperation = keyof typeof GO_OPERATIONS;
