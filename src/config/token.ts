/**
 * Secrets in files: one line, without the white space around it. As ssh does with private keys, a file
 * that other users can read or change is refused: its content is not a secret any more.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { reasonOf, VsockboxError } from "../errors.ts";

/** Shorter ones could be guessed, longer ones are not tokens. */
const MIN_TOKEN_CHARACTERS = 8;
const MAX_TOKEN_CHARACTERS = 4096;

/** Bytes read of a file at most: a token of the longest form, and white space around it. */
const MAX_FILE_BYTES = 4 * MAX_TOKEN_CHARACTERS;

/** Permission bits of group and others, inode(7). */
const GROUP_AND_OTHERS = 0o077;
/** What the group may not have of a file of root that another user reads: all but reading. */
const ALL_BUT_GROUP_READ = 0o037;

/** Facts about a token file that decide whether it is used. */
export interface TokenFileStatus {
  uid: number;
  /** st_mode. */
  mode: number;
}

/** Why a token file is refused, and how to change that. */
export interface TokenFileProblem {
  message: string;
  hint: string;
}

/**
 * Checks owner and permissions of a token file. It must belong to the user who reads it or to root,
 * without any permission for others. A file of root that another user reads may be readable by its
 * group, since that user could not read it otherwise.
 *
 * @param uid the effective user of this process.
 * @returns undefined if the file is private.
 */
export function tokenFileProblem(
  path: string,
  status: TokenFileStatus,
  uid: number,
): TokenFileProblem | undefined {
  if (status.uid !== uid && status.uid !== 0) {
    return {
      message: `the file belongs to user ${status.uid}, who can change the token`,
      hint: `the owner must be user ${uid} or root: \`chown ${uid} ${path}\``,
    };
  }
  const forbidden = status.uid === uid ? GROUP_AND_OTHERS : ALL_BUT_GROUP_READ;
  if ((status.mode & forbidden) === 0) return undefined;
  const mode = (status.mode & 0o7777).toString(8).padStart(4, "0");
  return {
    message: `its permissions ${mode} are too open: other users can read or change the token`,
    hint: `\`chmod ${forbidden === GROUP_AND_OTHERS ? "600" : "640"} ${path}\`; if others have read it, make a new token`,
  };
}

/**
 * Reads a token. Symbolic links are followed; the file that they lead to is the one that is checked.
 *
 * @throws {VsockboxError} CONFIG, never with the token in it.
 */
export function readToken(path: string): string {
  const token = readPrivateFile(path).trim();
  if (token.length < MIN_TOKEN_CHARACTERS) {
    throw problem(path, `a token has at least ${MIN_TOKEN_CHARACTERS} characters`);
  }
  if (token.length > MAX_TOKEN_CHARACTERS || /\s/.test(token)) {
    throw problem(path, "it is more than one word");
  }
  return token;
}

function readPrivateFile(path: string): string {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (thrown) {
    const { errno, message } = reasonOf(thrown);
    throw problem(path, errno === "ENOENT" ? "no such file" : message, { errno });
  }
  try {
    // The open file, not the path: what the path leads to can be another file by now.
    const found = tokenFileProblem(path, fstatSync(fd), process.geteuid?.() ?? 0);
    if (found !== undefined) throw problem(path, found.message, { hint: found.hint });
    return readStart(fd);
  } catch (thrown) {
    if (thrown instanceof VsockboxError) throw thrown;
    const { errno, message } = reasonOf(thrown);
    throw problem(path, message, { errno });
  } finally {
    closeSync(fd);
  }
}

function readStart(fd: number): string {
  const bytes = Buffer.alloc(MAX_FILE_BYTES);
  let filled = 0;
  while (filled < bytes.length) {
    const count = readSync(fd, bytes, filled, bytes.length - filled, null);
    if (count === 0) break;
    filled += count;
  }
  return bytes.toString("utf8", 0, filled);
}

function problem(
  path: string,
  message: string,
  { errno, hint }: { errno?: string | undefined; hint?: string } = {},
): VsockboxError {
  return new VsockboxError({
    code: "CONFIG",
    operation: "read token file",
    address: path,
    message,
    errno,
    hint:
      hint ??
      "a token is one line; `(umask 077; head -c 32 /dev/urandom | base64 > FILE)` makes a good one",
  });
}
