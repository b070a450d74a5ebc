/**
 * The structures of linux/fuse.h as lists of fields, to lay out requests and to read answers
 * independently of the code under test. A unit test holds them against the header of the system.
 */

const TIMES_OF_ATTRIBUTES =
  "u64 atime, u64 mtime, u64 ctime, u32 atimensec, u32 mtimensec, u32 ctimensec";

/** Fields by structure, in order. */
export const FUSE_STRUCTS = {
  fuse_in_header:
    "u32 len, u32 opcode, u64 unique, u64 nodeid, u32 uid, u32 gid, u32 pid, u16 total_extlen, u16 padding",
  fuse_out_header: "u32 len, i32 error, u64 unique",
  fuse_attr: `u64 ino, u64 size, u64 blocks, ${TIMES_OF_ATTRIBUTES}, u32 mode, u32 nlink, u32 uid, u32 gid, u32 rdev, u32 blksize, u32 flags`,
  fuse_entry_out:
    "u64 nodeid, u64 generation, u64 entry_valid, u64 attr_valid, u32 entry_valid_nsec, u32 attr_valid_nsec",
  fuse_attr_out: "u64 attr_valid, u32 attr_valid_nsec, u32 dummy",
  fuse_forget_in: "u64 nlookup",
  fuse_forget_one: "u64 nodeid, u64 nlookup",
  fuse_batch_forget_in: "u32 count, u32 dummy",
  fuse_getattr_in: "u32 getattr_flags, u32 dummy, u64 fh",
  fuse_setattr_in: `u32 valid, u32 padding, u64 fh, u64 size, u64 lock_owner, ${TIMES_OF_ATTRIBUTES}, u32 mode, u32 unused4, u32 uid, u32 gid, u32 unused5`,
  fuse_mknod_in: "u32 mode, u32 rdev, u32 umask, u32 padding",
  fuse_mkdir_in: "u32 mode, u32 umask",
  fuse_rename_in: "u64 newdir",
  fuse_rename2_in: "u64 newdir, u32 flags, u32 padding",
  fuse_link_in: "u64 oldnodeid",
  fuse_open_in: "u32 flags, u32 open_flags",
  fuse_create_in: "u32 flags, u32 mode, u32 umask, u32 open_flags",
  fuse_open_out: "u64 fh, u32 open_flags, u32 padding",
  fuse_release_in: "u64 fh, u32 flags, u32 release_flags, u64 lock_owner",
  fuse_flush_in: "u64 fh, u32 unused, u32 padding, u64 lock_owner",
  fuse_read_in:
    "u64 fh, u64 offset, u32 size, u32 read_flags, u64 lock_owner, u32 flags, u32 padding",
  fuse_write_in:
    "u64 fh, u64 offset, u32 size, u32 write_flags, u64 lock_owner, u32 flags, u32 padding",
  fuse_write_out: "u32 size, u32 padding",
  fuse_kstatfs:
    "u64 blocks, u64 bfree, u64 bavail, u64 files, u64 ffree, u32 bsize, u32 namelen, u32 frsize, u32 padding, u192 spare",
  fuse_fsync_in: "u64 fh, u32 fsync_flags, u32 padding",
  fuse_getxattr_in: "u32 size, u32 padding",
  fuse_getxattr_out: "u32 size, u32 padding",
  fuse_init_in: "u32 major, u32 minor, u32 max_readahead, u32 flags, u32 flags2, u352 unused",
  fuse_init_out:
    "u32 major, u32 minor, u32 max_readahead, u32 flags, u16 max_background, u16 congestion_threshold, u32 max_write, u32 time_gran, u16 max_pages, u16 map_alignment, u32 flags2, u224 unused",
  fuse_interrupt_in: "u64 unique",
  fuse_fallocate_in: "u64 fh, u64 offset, u64 length, u32 mode, u32 padding",
  fuse_lseek_in: "u64 fh, u64 offset, u32 whence, u32 padding",
  fuse_lseek_out: "u64 offset",
  fuse_copy_file_range_in:
    "u64 fh_in, u64 off_in, u64 nodeid_out, u64 fh_out, u64 off_out, u64 len, u64 flags",
  fuse_dirent: "u64 ino, u64 off, u32 namelen, u32 type",
  fuse_notify_inval_inode_out: "u64 ino, i64 off, i64 len",
} as const;

/** The name of a structure. */
export type FuseStruct = keyof typeof FUSE_STRUCTS;

interface Field {
  name: string;
  bytes: number;
  isSigned: boolean;
}

/** The fields of a structure. */
export function fieldsOf(struct: FuseStruct): Field[] {
  return FUSE_STRUCTS[struct].split(", ").map((text) => {
    const [type = "", name = ""] = text.split(" ");
    return { name, bytes: Number(type.slice(1)) / 8, isSigned: type.startsWith("i") };
  });
}

/** sizeof of a structure. */
export function sizeOf(struct: FuseStruct): number {
  return fieldsOf(struct).reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Lays out a structure; fields that are not named are zero. */
export function layOut(struct: FuseStruct, values: Readonly<Record<string, number | bigint>>) {
  const bytes = new Uint8Array(sizeOf(struct));
  let at = 0;
  const unknown = new Set(Object.keys(values));
  for (const field of fieldsOf(struct)) {
    unknown.delete(field.name);
    let rest = BigInt.asUintN(field.bytes * 8, BigInt(values[field.name] ?? 0));
    for (let index = 0; index < field.bytes; index++, rest >>= 8n) {
      bytes[at++] = Number(rest & 0xffn);
    }
  }
  if (unknown.size > 0) throw new Error(`${struct} has no ${[...unknown].join()}`);
  return bytes;
}

/** Reads a structure: its fields without those of padding. */
export function readStruct(struct: FuseStruct, bytes: Uint8Array, start = 0) {
  const values: Record<string, number> = {};
  let at = start;
  for (const { name, bytes: count, isSigned } of fieldsOf(struct)) {
    let value = 0n;
    for (let index = count - 1; index >= 0; index--) {
      value = (value << 8n) | BigInt(bytes[at + index] ?? Number.NaN);
    }
    values[name] = Number(isSigned ? BigInt.asIntN(count * 8, value) : value);
    at += count;
  }
  return values;
}

/** Text as bytes with a NUL. */
export const z = (text: string): Uint8Array => new TextEncoder().encode(`${text}\0`);

/** A whole request. */
export function fuseRequest(
  opcode: number,
  parts: readonly Uint8Array[],
  header: Readonly<Record<string, number | bigint>> = {},
): Uint8Array {
  const body = Buffer.concat(parts);
  const len = sizeOf("fuse_in_header") + body.length;
  return new Uint8Array(
    Buffer.concat([layOut("fuse_in_header", { len, opcode, ...header }), body]),
  );
}
