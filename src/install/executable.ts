/** The executable to be installed: its architecture, its needs, and whether a tree has them. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { createHash } from "node:crypto";
import { reasonOf, VsockboxError } from "../errors.ts";
import { type ElfHead, ET, HEAD_BYTES, machineName, parseElfHead } from "../elf/elf-head.ts";
import { readElfNeeds } from "../elf/shared-objects.ts";
import { pieces } from "./pieces.ts";
import type { Tree } from "./tree.ts";

/** Being in this file, these words are in every executable that can be installed. */
const MARK = "vsockbox can install this executable";

/** An executable and what it needs. */
export interface Executable {
  path: string;
  bytes: number;
  /** Hexadecimal. */
  sha256: string;
  /** As in `x86-64`. */
  architecture: string;
  /** The loader's path; undefined if it needs none. */
  interpreter: string | undefined;
}

/**
 * Reads an executable of vsockbox.
 *
 * @param force accepts a program that is not vsockbox.
 * @throws {VsockboxError} IO if it cannot be read; CONFIG if it is something else.
 */
export function readExecutable(path: string, force: boolean): Executable {
  const bad = (message: string, hint?: string) =>
    new VsockboxError({ code: "CONFIG", operation: "install", address: path, message, hint });
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (thrown) {
    throw new VsockboxError({
      code: "IO",
      operation: "read",
      address: path,
      ...reasonOf(thrown),
      cause: thrown,
    });
  }
  try {
    const status = fstatSync(fd);
    if (!status.isFile()) throw bad("it is not a regular file");
    const head = readElfHead(fd);
    if (head === undefined || (head.type !== ET.EXEC && head.type !== ET.DYN)) {
      throw bad("it is not an ELF executable");
    }
    const { sha256, isMarked } = scan(fd);
    if (!isMarked && !force) {
      throw bad("it is not vsockbox", "name an executable that build.ts made, or use --force");
    }
    const { interpreter } = readElfNeeds(path);
    const architecture = machineName(head.machine);
    return { path, bytes: status.size, sha256, architecture, interpreter };
  } finally {
    closeSync(fd);
  }
}

function scan(fd: number): { sha256: string; isMarked: boolean } {
  const hash = createHash("sha256");
  let isMarked = false;
  // The mark may lie across two pieces.
  let tail = Buffer.alloc(0);
  for (const piece of pieces(fd)) {
    hash.update(piece);
    if (isMarked) continue;
    const bytes = Buffer.concat([tail, piece]);
    isMarked = bytes.includes(MARK);
    tail = bytes.subarray(-MARK.length);
  }
  return { sha256: hash.digest("hex"), isMarked };
}

function readElfHead(fd: number): ElfHead | undefined {
  const head = Buffer.alloc(HEAD_BYTES);
  return parseElfHead(head.subarray(0, readSync(fd, head, 0, head.length, 0)));
}

/** Programs of a tree from which its architecture is read. */
const PROBES = ["/bin/sh", "/sbin/init", "/bin/busybox", "/usr/bin/env", "/linuxrc"] as const;

/** Returns the architecture of a tree's programs; undefined if none of them is an ELF file. */
function treeArchitecture(tree: Tree): { architecture: string; path: string } | undefined {
  for (const probe of PROBES) {
    if (!tree.has(probe)) continue;
    const path = tree.resolve(probe);
    const head = tree.open(path, readElfHead);
    if (head !== undefined) return { architecture: machineName(head.machine), path };
  }
  return undefined;
}

/**
 * Sees to it that the executable can run in the tree.
 *
 * @throws {VsockboxError} CONFIG if it is for another architecture, or its loader is missing.
 */
export function checkFits({ path, architecture, interpreter }: Executable, tree: Tree): void {
  const bad = (message: string, hint: string) =>
    new VsockboxError({ code: "CONFIG", operation: "install", address: path, message, hint });
  const there = treeArchitecture(tree);
  if (there !== undefined && there.architecture !== architecture) {
    throw bad(
      `it is for ${architecture}, but ${tree.outside(there.path)} is for ${there.architecture}`,
      "--binary FILE names another build; --force installs it nevertheless",
    );
  }
  if (interpreter !== undefined && !tree.has(interpreter)) {
    throw bad(
      `it needs ${interpreter}, which is not in ${tree.outside("")}`,
      "--binary FILE names another build; --force installs it nevertheless",
    );
  }
}
