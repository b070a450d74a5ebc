/**
 * Owners and permissions of files that are written anew. A set-user-ID or set-group-ID bit lends the
 * rights of the file's owner to its content: it is kept only if the content and the owner both come
 * from the same trusted source, as cp(1) and mv(1) of POSIX have it.
 */
import { fchmodSync, fchownSync } from "node:fs";
import type { InodeStatus } from "../ffi/directory-calls.ts";
import { reasonOf } from "../errors.ts";

/** Set-user-ID and set-group-ID, inode(7). */
const SET_ID_BITS = 0o6000;
const PERMISSION_BITS = 0o7777;

/** An owner and the permission bits that go with it. */
export interface Ownership {
  mode: number;
  uid: number;
  gid: number;
}

/**
 * The permission bits that a file gets with the owner that it has.
 *
 * @param wanted those of the original.
 * @param actual the owner that the new file has now.
 * @param isTrusted whether the content's source may choose the owner and the set-ID bits.
 */
export function grantedMode(
  wanted: Ownership,
  actual: Pick<Ownership, "uid" | "gid">,
  isTrusted: boolean,
): number {
  const hasOwner = wanted.uid === actual.uid && wanted.gid === actual.gid;
  const mode = wanted.mode & PERMISSION_BITS;
  return isTrusted && hasOwner ? mode : mode & ~SET_ID_BITS;
}

/** The permission bits of a file whose content is replaced: set-ID bits were meant for the old one. */
export function replacedMode(existing: Pick<Ownership, "mode">): number {
  return existing.mode & PERMISSION_BITS & ~SET_ID_BITS;
}

/**
 * Changes the owner of an open file, as far as this user may; only the group if that is all.
 *
 * @returns the owner that the file has now.
 */
export function changeOwner(
  fd: number,
  wanted: Pick<Ownership, "uid" | "gid">,
  now: Pick<InodeStatus, "uid" | "gid">,
): Pick<Ownership, "uid" | "gid"> {
  if (wanted.uid === now.uid && wanted.gid === now.gid) return now;
  const { uid, gid } = wanted;
  if (attempt(() => fchownSync(fd, uid, gid))) return { uid, gid };
  const isGroupKept = gid !== now.gid && attempt(() => fchownSync(fd, now.uid, gid));
  return isGroupKept ? { uid: now.uid, gid } : now;
}

/** Copies owner and mode of an original to an open file. */
export function copyOwnership(
  fd: number,
  wanted: Ownership,
  now: Pick<InodeStatus, "uid" | "gid">,
): void {
  const actual = changeOwner(fd, wanted, now);
  // After the owner, whose change clears the set-ID bits.
  fchmodSync(fd, grantedMode(wanted, actual, true));
}

/** EPERM: not our right. EINVAL: no such user in this user namespace. */
function attempt(action: () => void): boolean {
  try {
    action();
    return true;
  } catch (thrown) {
    const { errno } = reasonOf(thrown);
    if (errno === "EPERM" || errno === "EINVAL" || errno === "EOPNOTSUPP") return false;
    throw thrown;
  }
}
