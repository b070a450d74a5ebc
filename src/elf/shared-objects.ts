/** Which loader and libraries a program needs to run in a root of its own. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { VsockboxError } from "../errors.ts";
import { ElfFile } from "./elf-file.ts";
import { ET } from "./elf-head.ts";

/** What a program asks the system for before it can run. */
export interface ElfNeeds {
  /** The loader's path; undefined for a program that needs none. */
  interpreter: string | undefined;
  /** Names of shared libraries, as in `libc.so.6`. */
  libraries: readonly string[];
  /** e_machine. */
  machine: number;
}

/**
 * Reads what the program or library at `path` needs.
 *
 * @throws {VsockboxError} CONFIG if it is not a little-endian 64-bit ELF file.
 */
export function readElfNeeds(path: string): ElfNeeds {
  return ElfFile.read(path, ({ type, machine, interpreter, needed }) => {
    // A self-contained program has its libraries with it, although it names them.
    const isAlone = type === ET.EXEC && interpreter === undefined;
    return { interpreter, machine, libraries: isAlone ? [] : needed };
  });
}

/** Directories of shared libraries on Debian, Fedora, Alpine and similar distributions. */
const LIBRARY_DIRECTORIES = [
  "/lib/x86_64-linux-gnu",
  "/usr/lib/x86_64-linux-gnu",
  "/lib/aarch64-linux-gnu",
  "/usr/lib/aarch64-linux-gnu",
  "/lib64",
  "/usr/lib64",
  "/lib",
  "/usr/lib",
];

/**
 * All files that a program needs to run in a root of its own: the loader at its own path, and every
 * library, also those that libraries need, by its path here.
 *
 * @throws {VsockboxError} UNAVAILABLE if one does not exist here, CONFIG if `program` is not an ELF
 * file.
 */
export function sharedObjects(program: string): string[] {
  const programNeeds = readElfNeeds(program);
  /** Returns the needs of the file at `path`, if it exists and has the program's architecture. */
  const fitting = (path: string) => {
    const needs = existsSync(path) ? readElfNeeds(path) : undefined;
    return needs?.machine === programNeeds.machine ? needs : undefined;
  };
  const missing = (name: string, where: string) =>
    new VsockboxError({
      code: "UNAVAILABLE",
      operation: "find shared library",
      address: name,
      message: `${program} needs it, and it is ${where}`,
      hint: "use a self-contained build, or one for this architecture and libc",
    });
  const found = new Map<string, string>();
  const visit = ({ interpreter, libraries }: ElfNeeds) => {
    if (interpreter !== undefined) {
      if (fitting(interpreter) === undefined) throw missing(interpreter, "not on this machine");
      found.set(interpreter, interpreter);
    }
    for (const name of libraries) if (!found.has(name)) visit(takeLibrary(name));
  };
  const takeLibrary = (name: string): ElfNeeds => {
    for (const directory of LIBRARY_DIRECTORIES) {
      const path = join(directory, name);
      const needs = fitting(path);
      if (needs === undefined) continue;
      found.set(name, path);
      return needs;
    }
    throw missing(name, `in none of ${LIBRARY_DIRECTORIES.join(", ")}`);
  };
  visit(programNeeds);
  return [...found.values()];
}
