/**
 * Makes a self-contained executable: a compiled program, its loader and its libraries in one ELF file
 * that the kernel starts without an interpreter. stub.c describes its start.
 *
 * The program's own segments stay as they are, so it is loaded page by page as before. Two more follow
 * them: the stub with its table, read and executed, and the data, read only, which is unmapped before the
 * program begins. Their headers replace PT_INTERP and PT_NOTE.
 */
import { VsockboxError } from "../../src/errors.ts";
import {
  ElfFile,
  PF,
  type ProgramHeader,
  PROGRAM_HEADER_BYTES,
  PT,
  writeEntry,
  writeProgramHeader,
} from "../../src/elf/elf-file.ts";
import { type Architecture, architectureOf, machineName } from "../../src/elf/elf-head.ts";
import {
  encodeStubTable,
  type LoaderSegment,
  type PackedLibrary,
  TABLE_BYTES,
} from "./stub-table.ts";

/** Largest page of the architecture's kernels, in bytes: segments begin on one. */
const PAGE_BYTES: Readonly<Record<Architecture, number>> = { x64: 0x1000, arm64: 0x1_0000 };

/** A file by the name under which the program asks for it. */
export interface NamedFile {
  name: string;
  bytes: Uint8Array;
}

/** The parts of a packed file. */
export interface Parts {
  /** The compiled program, which asks for `loader` and `libraries`. */
  program: NamedFile;
  loader: NamedFile;
  /** In the order in which they are to be loaded. */
  libraries: readonly NamedFile[];
  /** The stub's flat image for the program's architecture. */
  stub: Uint8Array;
}

/**
 * The whole file, to be written with mode 0755.
 *
 * @throws {VsockboxError} CONFIG if the parts do not fit each other.
 */
export function packSelfContained(parts: Parts): Uint8Array {
  const program = ElfFile.inMemory(parts.program.bytes, parts.program.name);
  const loader = ElfFile.inMemory(parts.loader.bytes, parts.loader.name);
  check(parts, program, loader);
  const page = PAGE_BYTES[architectureFor(program.machine, parts.program.name)];
  const up = (value: number, to = page) => Math.ceil(value / to) * to;

  const data = layOutData({ ...parts, loader: withoutPreloadFile(parts.loader) }, loader);
  const lastSegment = program.loaded.at(-1);
  if (lastSegment === undefined) throw refuse(parts.program.name, "it has nothing to load");
  // The program's own headers, for the loader: the file's are not those any more.
  const headersAt = up(parts.stub.length, 16);
  const codeBytes = headersAt + program.headers.length * PROGRAM_HEADER_BYTES;
  const codeOffset = up(parts.program.bytes.length);
  const codeAddress = up(lastSegment.address + lastSegment.memoryBytes) + page;
  const dataOffset = up(codeOffset + codeBytes);
  const dataAddress = up(codeAddress + codeBytes) + page;

  const file = new Uint8Array(dataOffset + data.bytes);
  file.set(parts.program.bytes);
  file.set(parts.stub, codeOffset);
  for (const { bytes, offset } of data.files) file.set(bytes, dataOffset + offset);

  const view = new DataView(file.buffer);
  const headersAddress = codeAddress + headersAt;
  for (const [index, header] of program.headers.entries()) {
    // The loader computes the load address as the difference of this address and that in the headers: 0.
    const own = header.type === PT.PHDR ? { ...header, address: headersAddress } : header;
    writeProgramHeader(view, codeOffset + headersAt + index * PROGRAM_HEADER_BYTES, own);
  }
  file.set(
    encodeStubTable({
      programEntry: program.entry,
      programHeaders: headersAddress,
      programHeaderCount: program.headers.length,
      data: dataAddress,
      dataBytes: up(data.bytes),
      loaderEntry: loader.entry,
      loaderBytes: Math.max(...loader.loaded.map((it) => up(it.address + it.memoryBytes))),
      attributesSlot: program.callSlot("pthread_getattr_np") ?? 0,
      segments: data.segments,
      libraries: data.libraries,
    }),
    codeOffset,
  );
  const added: ProgramHeader[] = [
    segment(codeOffset, codeAddress, codeBytes, PF.R | PF.X, page),
    segment(dataOffset, dataAddress, data.bytes, PF.R, page),
  ];
  // In the order that the kernel wants: loaded segments by rising addresses.
  const kept = program.headers.filter(({ type }) => type !== PT.INTERP && type !== PT.NOTE);
  const firstBehind = kept.findLastIndex(({ type }) => type === PT.LOAD) + 1;
  for (const [index, header] of kept.toSpliced(firstBehind, 0, ...added).entries()) {
    writeProgramHeader(view, program.headersOffset + index * PROGRAM_HEADER_BYTES, header);
  }
  writeEntry(view, codeAddress + TABLE_BYTES);
  return file;
}

/**
 * The architecture of a program that is to be packed.
 *
 * @throws {VsockboxError} CONFIG if there are no self-contained executables for its architecture.
 */
export function packedArchitecture({ name, bytes }: NamedFile): Architecture {
  return architectureFor(ElfFile.inMemory(bytes, name).machine, name);
}

function architectureFor(machine: number, name: string): Architecture {
  const architecture = architectureOf(machine);
  if (architecture !== undefined) return architecture;
  throw refuse(name, `its machine is ${machineName(machine)}, not x86-64 or arm64`);
}

const segment = (
  offset: number,
  address: number,
  bytes: number,
  flags: number,
  alignment: number,
): ProgramHeader => ({
  type: PT.LOAD,
  flags,
  offset,
  address,
  fileBytes: bytes,
  memoryBytes: bytes,
  alignment,
});

function refuse(name: string, message: string): VsockboxError {
  return new VsockboxError({ code: "CONFIG", operation: "pack", address: name, message });
}

function check({ program, libraries }: Parts, image: ElfFile, loader: ElfFile): void {
  const own = image.headers.filter(({ type }) => type === PT.INTERP || type === PT.NOTE);
  if (image.interpreter === undefined || own.length !== 2) {
    throw refuse(program.name, "it has not one PT_INTERP and one PT_NOTE, whose places are needed");
  }
  const names = new Set([loader.soname ?? "", ...libraries.map(({ name }) => name)]);
  const fits = (name: string, of: ElfFile) => {
    if (of.machine !== image.machine) {
      const [its, programs] = [of, image].map(({ machine }) => machineName(machine));
      throw refuse(name, `it is for ${its}, the program for ${programs}`);
    }
    const absent = of.needed.filter((needed) => !names.has(needed));
    if (absent.length > 0) throw refuse(name, `it needs ${absent.join(", ")}, which is not packed`);
  };
  fits(program.name, image);
  fits("the loader", loader);
  for (const library of libraries)
    fits(library.name, ElfFile.inMemory(library.bytes, library.name));
}

/**
 * glibc's loader reads a list of libraries from /etc/ld.so.preload. Its libraries on the system where
 * the program runs are made for the C library there, and the loader ends the process if a version of a
 * symbol is missing. With an empty path there is no such file.
 */
export function withoutPreloadFile({ name, bytes }: NamedFile): NamedFile {
  const copy = Buffer.from(bytes);
  const path = Buffer.from("\0/etc/ld.so.preload\0");
  for (let at = copy.indexOf(path); at >= 0; at = copy.indexOf(path, at)) copy[at + 1] = 0;
  return { name, bytes: copy };
}

interface PackedData {
  bytes: number;
  files: { bytes: Uint8Array; offset: number }[];
  segments: LoaderSegment[];
  libraries: PackedLibrary[];
}

function layOutData({ loader, libraries }: Parts, image: ElfFile): PackedData {
  let end = 0;
  const files = [loader, ...libraries].map(({ bytes }) => {
    const offset = Math.ceil(end / 16) * 16;
    end = offset + bytes.length;
    return { bytes, offset };
  });
  return {
    bytes: end,
    files,
    segments: image.loaded.map(({ address, offset, fileBytes, memoryBytes, flags }) => ({
      address,
      offset,
      fileBytes,
      memoryBytes,
      protection: (flags & PF.R ? 1 : 0) | (flags & PF.W ? 2 : 0) | (flags & PF.X ? 4 : 0),
    })),
    libraries: libraries.map(({ name, bytes }, index) => ({
      name,
      bytes: bytes.length,
      offset: files[index + 1]?.offset ?? 0,
    })),
  };
}
