/** Applying the mode, time and owner that a sender reports for a file or directory. */
import { fchmodSync } from "node:fs";
import type { InodeStatus } from "../../ffi/directory-calls.ts";
import { setFileTime } from "../../ffi/file-time.ts";
import { changeOwner, copyOwnership, grantedMode } from "../../files/file-owner.ts";
import type { FileStatus } from "../../protocols/agent/tree-records.ts";

/** Owners of a file that is written. */
export interface Owners {
  /** The owner that it has now. */
  now: Pick<InodeStatus, "uid" | "gid">;
  /** The owner that it gets unless the sender chooses: of the file that it replaces, or its own. */
  kept: Pick<InodeStatus, "uid" | "gid">;
}

/**
 * Gives an open file the mode and time of the original; its owner, too, if the sender is trusted with
 * that.
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
