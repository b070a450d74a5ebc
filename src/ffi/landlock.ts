/**
 * Landlock: which files this thread, and the program that it becomes, may touch; landlock(7). Needs
 * no right but no-new-privs. Whatever no rule allows is denied, even if file modes allow it.
 */
import { closeSync, openSync } from "node:fs";
import { systemError } from "./errno.ts";
import { lastErrno, ptr, systemCall } from "./libc.ts";

/** Numbers of the calls, the same on all processors; asm-generic/unistd.h. */
const CREATE_RULESET = 444;
const ADD_RULE = 445;
const RESTRICT_SELF = 446;

/** LANDLOCK_CREATE_RULESET_VERSION and LANDLOCK_RULE_PATH_BENEATH, linux/landlock.h. */
const VERSION_FLAG = 1;
const PATH_BENEATH = 1;

const O_PATH = 0o10000000;

/** What may be done with files, linux/landlock.h: those of them that this program ever allows. */
export const FileRight = {
  Execute: 1 << 0,
  WriteFile: 1 << 1,
  ReadFile: 1 << 2,
  ReadDirectory: 1 << 3,
  RemoveFile: 1 << 5,
  MakeRegular: 1 << 8,
  MakeSocket: 1 << 9,
  Truncate: 1 << 14,
  /** All that changes files; for a rule of a file, and of a directory without making devices. */
  File: (1 << 1) | (1 << 14),
  Directory: 0b0111_0111_1011_0010,
} as const;

/** What {@link restrictWrites} handles: all of Directory, and LANDLOCK_ACCESS_FS_MAKE_CHAR and _MAKE_BLOCK. */
const WRITE_RIGHTS = BigInt(FileRight.Directory) | (1n << 6n) | (1n << 11n);

/** All rights of the first version, LANDLOCK_ACCESS_FS_EXECUTE to _MAKE_SYM. */
const FILE_RIGHTS_V1 = 2n ** 13n - 1n;

/** What each later version has added; a kernel refuses bits that it does not know. */
const LATER_FILE_RIGHTS = [
  { version: 2, bit: 2n ** 13n }, // Moving files to other directories.
  { version: 3, bit: 2n ** 14n }, // Truncating.
  { version: 5, bit: 2n ** 15n }, // ioctl(2) on devices.
] as const;

/** From version 4: LANDLOCK_ACCESS_NET_CONNECT_TCP. */
const NETWORK_RIGHTS = { version: 4, bits: 2n } as const;

/** From version 6: LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET and _SIGNAL, to processes outside. */
const SCOPES = { version: 6, bits: 3n } as const;

/** A file, or a directory with all below it, and a set of {@link FileRight}. */
export interface FileRule {
  path: string;
  rights: number;
}

/** The version of the kernel's Landlock, from 1; 0 if it has none, or has it disabled. */
export function landlockVersion(): number {
  return Math.max(0, systemCall(CREATE_RULESET, 0, 0, VERSION_FLAG, 0));
}

/**
 * Denies this thread all files but those of the rules, from here on and for good, and connecting over
 * TCP, to abstract Unix sockets, and signals to processes outside, if this version of Landlock has
 * them. What is open stays open. A rule for a path that does not exist is ignored, and so is a right
 * that this version does not know: it is not denied either.
 *
 * Not denied, since Landlock does not know of it: connecting to a Unix socket that has a path,
 * changing the mode of a file, and asking what files there are by name.
 *
 * @throws {VsockboxError} REFUSED without no-new-privs; IO.
 */
export function restrictFiles(version: number, rules: readonly FileRule[]): void {
  const handled = LATER_FILE_RIGHTS.reduce(
    (sum, later) => (version >= later.version ? sum | later.bit : sum),
    FILE_RIGHTS_V1,
  );
  restrict(handled, version >= NETWORK_RIGHTS.version ? NETWORK_RIGHTS.bits : 0n, version, rules);
}

/**
 * Denies this thread all changes of files but those of the rules, from here on and for good, and
 * abstract Unix sockets of processes outside and signals to them, if this version of Landlock has them.
 * Reading stays as it is, and so do network connections.
 *
 * @throws {VsockboxError} REFUSED without no-new-privs and without CAP_SYS_ADMIN; IO.
 */
export function restrictWrites(version: number, rules: readonly FileRule[]): void {
  const unknown = LATER_FILE_RIGHTS.filter((later) => version < later.version);
  const handled = unknown.reduce((sum, { bit }) => sum & ~bit, WRITE_RIGHTS);
  restrict(handled, 0n, version, rules);
}

function restrict(
  handled: bigint,
  network: bigint,
  version: number,
  rules: readonly FileRule[],
): void {
  // struct landlock_ruleset_attr; an older kernel accepts a longer one whose end is zero.
  const attributes = BigUint64Array.of(
    handled,
    network,
    version >= SCOPES.version ? SCOPES.bits : 0n,
  );
  const ruleset = systemCall(CREATE_RULESET, ptr(attributes), attributes.byteLength, 0, 0);
  if (ruleset < 0) throw systemError(lastErrno(), { operation: "create Landlock rules" });
  try {
    for (const rule of rules) addRule(ruleset, rule, handled);
    if (systemCall(RESTRICT_SELF, ruleset, 0, 0, 0) < 0) {
      throw systemError(lastErrno(), { operation: "restrict files by Landlock" });
    }
  } finally {
    closeSync(ruleset);
  }
}

function addRule(ruleset: number, { path, rights }: FileRule, handled: bigint): void {
  let fd: number;
  try {
    fd = openSync(path, O_PATH);
  } catch {
    return;
  }
  try {
    // struct landlock_path_beneath_attr, packed: u64 allowed_access, s32 parent_fd.
    const attributes = new DataView(new ArrayBuffer(12));
    attributes.setBigUint64(0, BigInt(rights) & handled, true);
    attributes.setInt32(8, fd, true);
    if (systemCall(ADD_RULE, ruleset, PATH_BENEATH, ptr(attributes), 0) < 0) {
      throw systemError(lastErrno(), { operation: "add a Landlock rule for", address: path });
    }
  } finally {
    closeSync(fd);
  }
}
