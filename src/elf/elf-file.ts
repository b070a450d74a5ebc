/** ELF files, 64-bit and little-endian: elf(5). */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { VsockboxError } from "../errors.ts";
import { HEAD_BYTES, parseElfHead } from "./elf-head.ts";

/** Types of program headers that are read. */
export const PT = { NULL: 0, LOAD: 1, DYNAMIC: 2, INTERP: 3, NOTE: 4, PHDR: 6 } as const;

/** p_flags of a program header. */
export const PF = { X: 1, W: 2, R: 4 } as const;

/** Bytes of a program header. */
export const PROGRAM_HEADER_BYTES = 56;

const EHDR = { ENTRY: 24, PHOFF: 32, PHENTSIZE: 54, PHNUM: 56, BYTES: 64 } as const;
const DT = { NEEDED: 1, PLTRELSZ: 2, STRTAB: 5, SYMTAB: 6, SONAME: 14, JMPREL: 23 } as const;

/** Longest string that is read: names of libraries and loaders, in bytes. */
const MAX_STRING_BYTES = 4096;

/** Returns up to `bytes` bytes from `offset` on; fewer at the end of the file. */
type ReadAt = (offset: number, bytes: number) => Uint8Array;

/** A program header, in bytes and addresses. */
export interface ProgramHeader {
  type: number;
  flags: number;
  offset: number;
  address: number;
  fileBytes: number;
  memoryBytes: number;
  alignment: number;
}

/** A 64-bit little-endian ELF file, whose parts are read on demand. */
export class ElfFile {
  readonly headers: readonly ProgramHeader[];
  /** e_type: see `ET`. */
  readonly type: number;
  /** e_machine. */
  readonly machine: number;
  /** e_entry. */
  readonly entry: number;
  /** File offset of the program headers. */
  readonly headersOffset: number;
  readonly #readAt: ReadAt;
  /** Values of PT_DYNAMIC by their tags, once they were asked for. */
  #dynamicValues: Map<number, number[]> | undefined;

  private constructor(readAt: ReadAt, name: string) {
    this.#readAt = readAt;
    const refuse = (message: string) =>
      new VsockboxError({ code: "CONFIG", operation: "read ELF file", address: name, message });
    const bytes = readAt(0, EHDR.BYTES);
    const head = parseElfHead(bytes.subarray(0, HEAD_BYTES));
    if (bytes.length < EHDR.BYTES || !head?.is64Bit || !head.isLittleEndian) {
      throw refuse("it is not a 64-bit little-endian ELF file");
    }
    this.type = head.type;
    this.machine = head.machine;
    const view = viewOf(bytes);
    this.entry = word(view, EHDR.ENTRY);
    this.headersOffset = word(view, EHDR.PHOFF);
    const count = view.getUint16(EHDR.PHNUM, true);
    const table = count === 0 ? bytes : readAt(this.headersOffset, count * PROGRAM_HEADER_BYTES);
    const fits =
      view.getUint16(EHDR.PHENTSIZE, true) === PROGRAM_HEADER_BYTES &&
      table.length === count * PROGRAM_HEADER_BYTES;
    // An object file, as a kernel module is one, has none.
    if (count > 0 && !fits) throw refuse("its program headers are not valid");
    const entries = viewOf(table);
    this.headers = Array.from({ length: count }, (_, index) =>
      headerAt(entries, index * PROGRAM_HEADER_BYTES),
    );
  }

  /**
   * A file in memory.
   *
   * @param name is for errors.
   * @throws {VsockboxError} CONFIG if it is not a little-endian 64-bit ELF file.
   */
  static inMemory(bytes: Uint8Array, name: string): ElfFile {
    return new ElfFile((offset, count) => bytes.subarray(offset, offset + count), name);
  }

  /**
   * Reads of the file at `path` what `use` asks for.
   *
   * @throws {VsockboxError} CONFIG if it is not a little-endian 64-bit ELF file; errors of `openSync`.
   */
  static read<T>(path: string, use: (file: ElfFile) => T): T {
    const fd = openSync(path, "r");
    try {
      const { size } = fstatSync(fd);
      const readAt: ReadAt = (offset, count) => {
        // A header may contain any size: no more memory is allocated than the file has bytes.
        const bytes = new Uint8Array(Math.max(0, Math.min(count, size - offset)));
        if (bytes.length === 0) return bytes;
        return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, offset));
      };
      return use(new ElfFile(readAt, path));
    } finally {
      closeSync(fd);
    }
  }

  /** The only header of a type, or undefined. */
  only(type: number): ProgramHeader | undefined {
    const found = this.headers.filter((header) => header.type === type);
    return found.length === 1 ? found[0] : undefined;
  }

  /** The segments that are loaded, by rising addresses. */
  get loaded(): ProgramHeader[] {
    return this.headers.filter(({ type }) => type === PT.LOAD);
  }

  /** The loader's path; undefined if the kernel needs none. */
  get interpreter(): string | undefined {
    const header = this.only(PT.INTERP);
    return header && this.#text(header.offset);
  }

  /** Names of the libraries that it needs, in order. */
  get needed(): string[] {
    return this.#dynamic(DT.NEEDED).map((offset) => this.#string(offset));
  }

  /** The name under which others need it. */
  get soname(): string | undefined {
    const [offset] = this.#dynamic(DT.SONAME);
    return offset === undefined ? undefined : this.#string(offset);
  }

  /**
   * The address of the word through which the program calls an imported function: r_offset of the
   * function's entry in DT_JMPREL.
   */
  callSlot(symbol: string): number | undefined {
    const [jumps] = this.#dynamic(DT.JMPREL);
    const [bytes] = this.#dynamic(DT.PLTRELSZ);
    const [symbols] = this.#dynamic(DT.SYMTAB);
    if (jumps === undefined || bytes === undefined || symbols === undefined) return undefined;
    const entries = viewOf(this.#readAt(this.#offsetOf(jumps), bytes));
    const table = this.#offsetOf(symbols);
    // Elf64_Rela has 24 bytes, with the symbol's index in the upper half of r_info; Elf64_Sym has 24.
    for (let at = 0; at + 24 <= entries.byteLength; at += 24) {
      const name = this.#readAt(table + 24 * entries.getUint32(at + 12, true), 4);
      if (name.length === 4 && this.#string(viewOf(name).getUint32(0, true)) === symbol)
        return word(entries, at);
    }
    return undefined;
  }

  #dynamic(tag: number): readonly number[] {
    this.#dynamicValues ??= this.#readDynamic();
    return this.#dynamicValues.get(tag) ?? [];
  }

  #readDynamic(): Map<number, number[]> {
    const values = new Map<number, number[]>();
    const header = this.only(PT.DYNAMIC);
    if (header === undefined) return values;
    const table = viewOf(this.#readAt(header.offset, header.fileBytes));
    for (let at = 0; at + 16 <= table.byteLength; at += 16) {
      const tag = word(table, at);
      const value = word(table, at + 8);
      const known = values.get(tag);
      if (known === undefined) values.set(tag, [value]);
      else known.push(value);
    }
    return values;
  }

  /** Returns the file offset of an address; past the end if the file does not contain it. */
  #offsetOf(address: number): number {
    const home = this.loaded.find(
      (header) => address >= header.address && address < header.address + header.fileBytes,
    );
    return home === undefined ? Number.MAX_SAFE_INTEGER : address - home.address + home.offset;
  }

  #string(offset: number): string {
    const [strings] = this.#dynamic(DT.STRTAB);
    return strings === undefined ? "" : this.#text(this.#offsetOf(strings) + offset);
  }

  #text(offset: number): string {
    const bytes = this.#readAt(offset, MAX_STRING_BYTES);
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(end === -1 ? bytes : bytes.subarray(0, end));
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function word(view: DataView, offset: number): number {
  return Number(view.getBigUint64(offset, true));
}

function headerAt(view: DataView, at: number): ProgramHeader {
  return {
    type: view.getUint32(at, true),
    flags: view.getUint32(at + 4, true),
    offset: word(view, at + 8),
    address: word(view, at + 16),
    fileBytes: word(view, at + 32),
    memoryBytes: word(view, at + 40),
    alignment: word(view, at + 48),
  };
}

/** Writes a program header into `target` at `offset`. */
export function writeProgramHeader(target: DataView, offset: number, header: ProgramHeader): void {
  const words = [
    header.offset,
    header.address,
    header.address,
    header.fileBytes,
    header.memoryBytes,
    header.alignment,
  ];
  target.setUint32(offset, header.type, true);
  target.setUint32(offset + 4, header.flags, true);
  for (const [index, value] of words.entries()) {
    target.setBigUint64(offset + 8 + 8 * index, BigInt(value), true);
  }
}

/** Sets e_entry of the file in `target`. */
export function writeEntry(target: DataView, entry: number): void {
  target.setBigUint64(EHDR.ENTRY, BigInt(entry), true);
}
