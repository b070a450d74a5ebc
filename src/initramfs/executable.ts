/** A program with all that it needs to run in a root file system of its own. */
import { VsockboxError } from "../errors.ts";
import { EARLY_MAPS } from "../process/init/mounts.ts";
import type { CpioEntry } from "./cpio.ts";
import { readElfNeeds, sharedObjects } from "../elf/shared-objects.ts";

/** A path of the image as an archive has it. */
export const archivePath = (path: string) => path.replace(/^\/+/, "");

/**
 * The loader and the libraries of programs, each at its local path. A file that is not a program
 * needs nothing.
 *
 * @throws {VsockboxError} UNAVAILABLE if one does not exist here.
 */
export function sharedObjectEntries(programs: readonly string[]): CpioEntry[] {
  return [...new Set(programs.flatMap(sharedObjectsOf))].map((library) => ({
    kind: "copy",
    path: archivePath(library),
    mode: 0o755,
    source: library,
  }));
}

function sharedObjectsOf(source: string): string[] {
  try {
    return sharedObjects(source);
  } catch (thrown) {
    // A script or a data file.
    if (thrown instanceof VsockboxError && thrown.code === "CONFIG") return [];
    throw thrown;
  }
}

/**
 * The files that vsockbox needs as process 1: with glibc a stand-in for the file in /proc
 * that is read before /proc is mounted. A self-contained executable does without.
 */
export function earlyEntries(executable: string): CpioEntry[] {
  const { interpreter } = readElfNeeds(executable);
  if (interpreter === undefined || !/\/ld-linux[^/]*$/.test(interpreter)) return [];
  const data = new TextEncoder().encode(EARLY_MAPS.content);
  return [{ kind: "file", path: archivePath(EARLY_MAPS.path), mode: 0o444, data }];
}

/** Without /dev/console process 1 has no standard output; without /dev/null nothing can be ignored. */
export const DEVICE_ENTRIES: readonly CpioEntry[] = [
  { kind: "character device", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
  { kind: "character device", path: "dev/null", mode: 0o666, major: 1, minor: 3 },
];

/** Mount points, and a home directory. */
export const MOUNT_DIRECTORIES: readonly string[] = ["dev", "proc", "root", "run", "sys", "tmp"];
