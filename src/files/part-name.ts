/**
 * Names of unfinished files that a later `--resume` continues. A user's own file may have any name, and
 * a tree with unfinished files in it may be copied: so the name has a hash of the name that the file
 * is going to get, and the file's own inode number, which no copy of it has.
 */
import { constants } from "node:fs";
import type { InodeStatus } from "../ffi/directory-calls.ts";

const PREFIX = ".vsockbox-part-";
const PATTERN = /^\.vsockbox-part-([0-9a-f]{16})-([0-9a-f]{1,16})$/;
const HASH_DIGITS = 16;

/** Permissions of an unfinished file: only its owner can have changed it. */
export const PART_MODE = 0o600;

/** What the name of an unfinished file contains. */
export interface PartName {
  /** Of the name that the file is going to get, in hex. */
  hash: string;
  inode: bigint;
}

/** The hash of a name in names of unfinished files, in hex. */
export function partHash(name: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(name).digest("hex").slice(0, HASH_DIGITS);
}

/** The name of the unfinished file with this inode. */
export function formatPartName({ hash, inode }: PartName): Uint8Array {
  return Buffer.from(`${PREFIX}${hash}-${inode.toString(16)}`);
}

/** Reads a name; undefined if it is not that of an unfinished file. */
export function parsePartName(name: Uint8Array): PartName | undefined {
  const match = PATTERN.exec(Buffer.from(name).toString("latin1"));
  const [, hash, inode] = match ?? [];
  return hash === undefined || inode === undefined
    ? undefined
    : { hash, inode: BigInt(`0x${inode}`) };
}

/**
 * Whether a file under such a name is an unfinished one of this user: another user that may write to
 * the directory could have put a file or a link there, to change it later or to have it read.
 *
 * @param uid the effective user.
 */
export function isOwnPart(
  status: Pick<InodeStatus, "mode" | "uid" | "links" | "inode">,
  { inode }: PartName,
  uid: number,
): boolean {
  const isPrivate = status.mode === (constants.S_IFREG | PART_MODE);
  return isPrivate && status.uid === uid && status.links === 1 && status.inode === inode;
}
