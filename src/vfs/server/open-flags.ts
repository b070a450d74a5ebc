/** Flags of open(2) on the wire as those of this system. */
import { constants } from "node:fs";
import { OpenFlag } from "../../protocols/vfs/file-numbers.ts";

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
  const access = flags & OpenFlag.Access;
  if (access === OpenFlag.Access) return undefined;
  const isWritable = access !== 0;
  const native = [constants.O_RDONLY, constants.O_WRONLY, constants.O_RDWR][access] ?? 0;
  // O_SYNC has the bit of O_DSYNC and one more.
  const isSync = (flags & OpenFlag.FullSync) !== 0;
  const sync = isSync
    ? constants.O_SYNC
    : (flags & OpenFlag.DataSync) === 0
      ? 0
      : constants.O_DSYNC;
  return {
    access: native | sync,
    isWritable,
    isExclusive: (flags & OpenFlag.Exclusive) !== 0,
    truncates: isWritable && (flags & OpenFlag.Truncate) !== 0,
    isDirectory: (flags & OpenFlag.Directory) !== 0,
  };
}

/** Flags on the wire of files that a Go guest creates. */
export const GO_CREATE_FLAGS = OpenFlag.ReadWrite | OpenFlag.Truncate;

/** Flags on the wire of a Go guest's open: the access mode and O_TRUNC alone. */
export function goOpenFlags(flags: number): number {
  return flags & (OpenFlag.WriteOnly | OpenFlag.ReadWrite | OpenFlag.Truncate);
}
