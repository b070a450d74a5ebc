/** The little of ELF that says which loader and libraries a program needs: elf(5), 64-bit only. */
import { closeSync, existsSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { VsockboxError } from "../errors.ts";

const ET_EXEC = 2;
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NEEDED = 1;
const DT_STRTAB = 5;

/** What a program asks the system for before it can run. */
export interface ElfNeeds {
  /** The loader's path; undefined for a static program. */
  interpreter: string | undefined;
  /** Names of shared libraries, as in `libc.so.6`. */
  libraries: string[];
  /** e_machine: 62 is x86-64, 183 arm64. */
  machine: number;
}

interface Segment {
  type: number;
  offset: number;
  address: number;
  bytes: number;
}

/**
 * Reads what the program or library at `path` needs.
 *
 * @throws {VsockboxError} CONFIG where it is no little-endian 64-bit ELF file.
 */
export function readElfNeeds(path: string): ElfNeeds {
  const fd = openSync(path, "r");
  try {
    const at = (offset: number, bytes: number) => {
      const buffer = new Uint8Array(bytes);
      const count = readSync(fd, buffer, 0, bytes, offset);
      return new DataView(buffer.buffer, 0, count);
    };
    const { segments, machine, isExecutable } = readSegments(at, path);
    const interpreter = segments.find(({ type }) => type === PT_INTERP);
    // A self-contained program has its libraries with it, although it names them.
    const isAlone = isExecutable && interpreter === undefined;
    return {
      interpreter: interpreter && text(at(interpreter.offset, interpreter.bytes), 0),
      libraries: isAlone ? [] : readLibraries(at, segments),
      machine,
    };
  } finally {
    closeSync(fd);
  }
}

type ReadAt = (offset: number, bytes: number) => DataView;

interface Headers {
  segments: Segment[];
  machine: number;
  /** ET_EXEC: a program at a fixed address, and no library. */
  isExecutable: boolean;
}

function readSegments(at: ReadAt, path: string): Headers {
  const head = at(0, 64);
  const isElf64 =
    head.byteLength === 64 && head.getUint32(0) === 0x7f454c46 && head.getUint16(4) === 0x0201;
  if (!isElf64) {
    throw new VsockboxError({
      code: "CONFIG",
      operation: "read ELF file",
      address: path,
      message: "it is no 64-bit little-endian ELF file",
    });
  }
  const offset = Number(head.getBigUint64(32, true));
  const size = head.getUint16(54, true);
  const segments = Array.from({ length: head.getUint16(56, true) }, (_, index) => {
    const entry = at(offset + index * size, 56);
    return {
      type: entry.getUint32(0, true),
      offset: Number(entry.getBigUint64(8, true)),
      address: Number(entry.getBigUint64(16, true)),
      bytes: Number(entry.getBigUint64(32, true)),
    };
  });
  const [kind, machine] = [head.getUint16(16, true), head.getUint16(18, true)];
  return { segments, machine, isExecutable: kind === ET_EXEC };
}

function readLibraries(at: ReadAt, segments: Segment[]): string[] {
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  if (dynamic === undefined) return [];
  const table = at(dynamic.offset, dynamic.bytes);
  const needed: number[] = [];
  let strings = 0;
  for (let entry = 0; entry + 16 <= table.byteLength; entry += 16) {
    const tag = Number(table.getBigInt64(entry, true));
    const value = Number(table.getBigUint64(entry + 8, true));
    if (tag === DT_NEEDED) needed.push(value);
    if (tag === DT_STRTAB) strings = value;
  }
  const home = segments.find(
    ({ type, address, bytes }) =>
      type === PT_LOAD && strings >= address && strings < address + bytes,
  );
  if (home === undefined) return [];
  const base = home.offset + strings - home.address;
  return needed.map((offset) => text(at(base + offset, 256), 0));
}

function text(view: DataView, offset: number): string {
  const bytes = new Uint8Array(view.buffer, offset, view.byteLength - offset);
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end === -1 ? bytes : bytes.subarray(0, end));
}

/** Where shared libraries are on Debian, Fedora, Alpine and their like. */
const LIBRARY_FOLDERS = [
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
 * @throws {VsockboxError} UNAVAILABLE where one is not on this machine, CONFIG where `program` is no ELF
 * file.
 */
export function sharedObjects(program: string): string[] {
  const { machine } = readElfNeeds(program);
  const fits = (path: string) => existsSync(path) && readElfNeeds(path).machine === machine;
  const missing = (name: string, where: string) =>
    new VsockboxError({
      code: "UNAVAILABLE",
      operation: "find shared library",
      address: name,
      message: `${program} needs it, and it is ${where}`,
      hint: "take a self-contained build, or one for this machine and its libc",
    });
  const found = new Map<string, string>();
  const visit = (path: string) => {
    const { interpreter, libraries } = readElfNeeds(path);
    if (interpreter !== undefined) {
      if (!fits(interpreter)) throw missing(interpreter, "not on this machine");
      found.set(interpreter, interpreter);
    }
    for (const name of libraries) {
      if (found.has(name)) continue;
      const library = LIBRARY_FOLDERS.map((folder) => join(folder, name)).find(fits);
      if (library === undefined) throw missing(name, `in none of ${LIBRARY_FOLDERS.join(", ")}`);
      found.set(name, library);
      visit(library);
    }
  };
  visit(program);
  return [...found.values()];
}
