/** Which symbolic links a program with more rights than others may follow. */
import { constants } from "node:fs";
import type { InodeStatus } from "../ffi/directory-calls.ts";

/**
 * Whether a link in a directory may be followed. Any user may put a link into a directory that all may
 * write to, such as /tmp, and thereby choose which file a program of root's reads or replaces. There,
 * only links of the follower's own and of the directory's owner are followed: the rule of
 * fs.protected_symlinks, proc_sys_fs(5), which kernels do not enforce by default, and which is applied
 * here to directories without the sticky bit, too.
 *
 * @param uid the effective user of the follower.
 */
export function mayFollowLink(
  directory: Pick<InodeStatus, "mode" | "uid">,
  link: Pick<InodeStatus, "uid">,
  uid: number,
): boolean {
  const isOpenToAll = (directory.mode & constants.S_IWOTH) !== 0;
  return !isOpenToAll || link.uid === uid || link.uid === directory.uid;
}

/**
 * Whether a FIFO, socket or device in a directory may be written to in place: the rule of
 * fs.protected_fifos for the same directories.
 *
 * @param uid the effective user of the writer.
 */
export function mayWriteInPlace(
  directory: Pick<InodeStatus, "mode" | "uid">,
  node: Pick<InodeStatus, "uid">,
  uid: number,
): boolean {
  return mayFollowLink(directory, node, uid);
}
