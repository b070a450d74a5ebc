/**
 * What is known of a file and of a file system: results of system calls in `ffi/`, and messages of
 * `protocols/`, neither of which imports the other.
 */

/** A time as struct timespec has it. */
export interface FileTime {
  /** Since 1970; negative before. */
  seconds: number;
  nanoseconds: number;
}

/** All that statx(2) reports of a file, or of a symbolic link itself. */
export interface FileStat {
  /** With {@link dev} and {@link birth} the identity of the file. */
  ino: bigint;
  /** Major number in the upper 32 bits, minor number in the lower ones. */
  dev: bigint;
  /** When the inode was made, in nanoseconds since 1970; 0 if the file system does not record it. */
  birth: bigint;
  /** Type and permission bits, as `st_mode`. */
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  /** Device number of a device node, as new_encode_dev() of the kernel packs it. */
  rdev: number;
  /** In bytes. */
  size: number;
  /** Of 512 bytes. */
  blocks: number;
  atime: FileTime;
  mtime: FileTime;
  ctime: FileTime;
  /** Preferred size of reads and writes, in bytes. */
  blksize: number;
}

/** Facts of a file system, as statvfs(3) has them; blocks are of `frsize` bytes. */
export interface FileSystemFacts {
  bsize: number;
  frsize: number;
  blocks: number;
  bfree: number;
  bavail: number;
  files: number;
  ffree: number;
  /** Longest name, in bytes. */
  namelen: number;
}
