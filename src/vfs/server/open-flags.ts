/** Flags of open(2) on the wire, which are those of x86-64 on either side. */
import { constants } from "node:fs";

const ACCESS = 0o3;
const WRITE_ONLY = 0o1;
const READ_WRITE = 0o2;
const EXCLUSIVE = 0o200;
const TRUNCATE = 0o1000;
const DSYNC = 0o10_000;
const DIRECTORY = 0o200_000;
const SYNC = 0o4_000_000;

/** What a guest asks for. Appending is asked for by each write. */
export interface OpenRequest {
  /** Flags for this machine's open(2): access, O_SYNC and O_DSYNC. */
  access: number;
  isWritable: boolean;
  isExclusive: boolean;
  truncates: boolean;
  isDirectory: boolean;
}

/** Reads flags of the wire; undefined for an access mode that does not exist. Others are ignored. */
export function readOpenFlags(flags: number): OpenRequest | undefined {
  const access = flags & ACCESS;
  if (access === ACCESS) return undefined;
  const isWritable = access !== 0;
  const native = [constants.O_RDONLY, constants.O_WRONLY, constants.O_RDWR][access] ?? 0;
  // O_SYNC has the bit of O_DSYNC and one more.
  const isSync = (flags & SYNC) !== 0;
  const sync = isSync ? constants.O_SYNC : (flags & DSYNC) === 0 ? 0 : constants.O_DSYNC;
  return {
    access: native | sync,
    isWritable,
    isExclusive: (flags & EXCLUSIVE) !== 0,
    truncates: isWritable && (flags & TRUNCATE) !== 0,
    isDirectory: (flags & DIRECTORY) !== 0,
  };
}

/** Flags on the wire of files that a Go guest creates. */
export const GO_CREATE_FLAGS = READ_WRITE | TRUNCATE;

/** Flag on the wire of a directory. */
export const OPEN_DIRECTORY = DIRECTORY;

/** Flags on the wire of a Go guest's open: the access mode and O_TRUNC alone. */
export function goOpenFlags(flags: number): number {
  return flags & (WRITE_ONLY | READ_WRITE | TRUNCATE);
}
