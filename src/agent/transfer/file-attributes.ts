/** Applies the mode, time and owner that a sender reports for a file or directory. */
import { fchmodSync } from "node:fs";
import type { InodeStatus } from "../../ffi/directory-calls.ts";
import { setFileTime } from "../../ffi/file-time.ts";
import { changeOwner, copyOwnership, grantedMode } from "../../files/file-owner.ts";
import type { FileStatus } from "../../protocols/agent/tree-records.ts";

/** Owners of a file that is being written. */
export interface Owners {
  /** Its current owner. */
  now: Pick<InodeStatus, "uid" | "gid">;
  /** Its owner unless the sender chooses: that of the file that it replaces, or its current one. */
  kept: Pick<InodeStatus, "uid" | "gid">;
}

/**
 * Sets the mode and time of an open file to those of the original, and its owner, too, if the sender is
 * trusted to choose it.
 */
export function preserveStatus(
  fd: number,
  status: FileStatus,
  { now, kept }: Owners,
  trustsOwner: boolean,
): void {
  if (trustsOwner) copyOwnership(fd, status, now);
  else {
    const actual = changeOwner(fd, kept, now);
    fchmodSync(fd, grantedMode(status, actual, false));
  }
  setFileTime(fd, status);
}
