/** Finding the program and the directory of a command before it is started, as execvp(3) searches. */
import { accessSync, constants, statSync } from "node:fs";
import { isAbsolute } from "node:path";
import { showPath } from "../files/bytes-path.ts";
import { reasonOf } from "../errors.ts";
import { StartError, startFailureOf } from "../start-error.ts";

const SLASH = 0x2f;
const COLON = 0x3a;

/**
 * The path of a program. A name without a slash is searched in `path`.
 *
 * @param path directories with colons between; an empty one is `directory`.
 * @param directory what relative paths start from, absolute.
 * @throws {StartError} not_found, permission_denied.
 */
export function findProgram(name: Uint8Array, path: Uint8Array, directory: Uint8Array): Uint8Array {
  if (name.includes(SLASH)) {
    const found = inDirectory(directory, name);
    const errno = executeErrno(found);
    if (errno === undefined) return found;
    throw programError(name, errno);
  }
  let denied = false;
  if (name.length > 0) {
    for (const entry of splitAtColon(path)) {
      const candidate = inDirectory(inDirectory(directory, entry), name);
      const errno = executeErrno(candidate);
      if (errno === undefined) return candidate;
      denied ||= errno === "EACCES";
    }
  }
  if (denied) throw programError(name, "EACCES");
  throw programError(name, "ENOENT");
}

/** Why this user cannot execute the file; undefined if it can. */
function executeErrno(path: Uint8Array): string | undefined {
  try {
    const file = Buffer.from(path);
    accessSync(file, constants.X_OK);
    return statSync(file).isDirectory() ? "EACCES" : undefined;
  } catch (thrown) {
    return reasonOf(thrown).errno ?? "EIO";
  }
}

function inDirectory(directory: Uint8Array, path: Uint8Array): Uint8Array {
  if (path[0] === SLASH) return path;
  if (path.length === 0) return directory;
  const isRoot = directory.length === 1 && directory[0] === SLASH;
  return Buffer.concat([directory, Uint8Array.from(isRoot ? [] : [SLASH]), path]);
}

function splitAtColon(path: Uint8Array): Uint8Array[] {
  const entries: Uint8Array[] = [];
  let begin = 0;
  for (let end = path.indexOf(COLON); end !== -1; end = path.indexOf(COLON, begin)) {
    entries.push(path.subarray(begin, end));
    begin = end + 1;
  }
  return [...entries, path.subarray(begin)];
}

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: "command not found",
  ENOTDIR: "command not found",
  EACCES: "not executable",
  ENOEXEC: "this kernel cannot execute it; a script begins with its interpreter, as in #!/bin/sh",
  E2BIG: "the argument list is too long",
};

/** The error for a program that cannot be executed. */
export function programError(program: Uint8Array | string, errno: string | undefined): StartError {
  const shown = typeof program === "string" ? program : showPath(program);
  return new StartError({
    ...startFailureOf(errno),
    operation: "run",
    address: shown === "" ? '""' : shown,
    message: WORDS[errno ?? ""] ?? "it cannot be executed",
    errno,
  });
}

/**
 * The directory of a command, absolute.
 *
 * @param directory undefined: this process's own.
 * @throws {StartError} bad_cwd.
 */
export function findDirectory(directory: Uint8Array | undefined): Uint8Array {
  if (directory === undefined) return ownDirectory();
  const fail = (errno: string, message: string) =>
    new StartError({
      kind: "bad_cwd",
      stage: "directory",
      operation: "change to directory",
      address: showPath(directory),
      message,
      errno,
    });
  let isDirectory: boolean;
  try {
    const path = Buffer.from(directory);
    isDirectory = statSync(path).isDirectory();
    if (isDirectory) accessSync(path, constants.X_OK);
  } catch (thrown) {
    const { errno = "EIO" } = reasonOf(thrown);
    throw fail(errno, errno === "ENOENT" ? "no such directory" : "it cannot be entered");
  }
  if (!isDirectory) throw fail("ENOTDIR", "it is not a directory");
  return inDirectory(ownDirectory(), directory);
}

function ownDirectory(): Uint8Array {
  const own = process.cwd();
  return Buffer.from(isAbsolute(own) ? own : "/");
}
