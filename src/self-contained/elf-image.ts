/** ELF files as bytes, for packing: elf(5), 64-bit and little-endian. */
import { VsockboxError } from "../errors.ts";

/** Types of program headers that packing looks at. */
export const PT = { NULL: 0, LOAD: 1, DYNAMIC: 2, INTERP: 3, NOTE: 4, PHDR: 6 } as const;

/** p_flags of a program header. */
export const PF = { X: 1, W: 2, R: 4 } as const;

/** e_machine by the names that Bun has for architectures. */
const MACHINES: Readonly<Record<number, Architecture>> = { 62: "x64", 183: "arm64" };

/** An architecture for which there are self-contained executables. */
export type Architecture = "x64" | "arm64";

/** Bytes of a program header. */
export const PROGRAM_HEADER_BYTES = 56;

const EHDR = { MACHINE: 18, ENTRY: 24, PHOFF: 32, PHENTSIZE: 54, PHNUM: 56 } as const;
const DT = { NEEDED: 1, STRTAB: 5, SYMTAB: 6, SONAME: 14, JMPREL: 23, PLTRELSZ: 2 } as const;

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

/** A whole ELF file in memory. */
export class ElfImage {
  readonly bytes: Uint8Array;
  readonly headers: readonly ProgramHeader[];
  readonly architecture: Architecture;
  /** e_entry. */
  readonly entry: number;
  /** Where the program headers are in the file. */
  readonly headersOffset: number;
  readonly #view: DataView;

  /**
   * @param name is for errors.
   * @throws {VsockboxError} CONFIG where it is no ELF file of an architecture that is known here.
   */
  constructor(bytes: Uint8Array, name: string) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const view = this.#view;
    const refuse = (message: string) =>
      new VsockboxError({ code: "CONFIG", operation: "read ELF file", address: name, message });
    if (bytes.length < 64 || view.getUint32(0) !== 0x7f454c46 || view.getUint16(4) !== 0x0201) {
      throw refuse("it is no 64-bit little-endian ELF file");
    }
    const machine = view.getUint16(EHDR.MACHINE, true);
    const architecture = MACHINES[machine];
    if (architecture === undefined)
      throw refuse(`its machine is ${machine}, not x86-64 or AArch64`);
    this.architecture = architecture;
    this.entry = this.#word(EHDR.ENTRY);
    this.headersOffset = this.#word(EHDR.PHOFF);
    const count = view.getUint16(EHDR.PHNUM, true);
    const fits = this.headersOffset + count * PROGRAM_HEADER_BYTES <= bytes.length;
    if (view.getUint16(EHDR.PHENTSIZE, true) !== PROGRAM_HEADER_BYTES || !fits) {
      throw refuse("its program headers are not where they should be");
    }
    this.headers = Array.from({ length: count }, (_, index) =>
      this.#header(this.headersOffset + index * PROGRAM_HEADER_BYTES),
    );
  }

  #word(offset: number): number {
    return Number(this.#view.getBigUint64(offset, true));
  }

  #header(at: number): ProgramHeader {
    return {
      type: this.#view.getUint32(at, true),
      flags: this.#view.getUint32(at + 4, true),
      offset: this.#word(at + 8),
      address: this.#word(at + 16),
      fileBytes: this.#word(at + 32),
      memoryBytes: this.#word(at + 40),
      alignment: this.#word(at + 48),
    };
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

  /** The interpreter's path; undefined where the kernel needs none. */
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
    const [first, table] = [this.#offsetOf(jumps), this.#offsetOf(symbols)];
    // Elf64_Rela has 24 bytes, with the symbol's index in the upper half of r_info; Elf64_Sym has 24.
    for (let at = first; at < first + bytes; at += 24) {
      const name = this.#view.getUint32(table + 24 * this.#view.getUint32(at + 12, true), true);
      if (this.#string(name) === symbol) return this.#word(at);
    }
    return undefined;
  }

  #dynamic(tag: number): number[] {
    const header = this.only(PT.DYNAMIC);
    if (header === undefined) return [];
    const values: number[] = [];
    for (let at = header.offset; at < header.offset + header.fileBytes; at += 16) {
      if (this.#word(at) === tag) values.push(this.#word(at + 8));
    }
    return values;
  }

  #offsetOf(address: number): number {
    const home = this.loaded.find(
      (header) => address >= header.address && address < header.address + header.fileBytes,
    );
    return home === undefined ? this.bytes.length : address - home.address + home.offset;
  }

  #string(offset: number): string {
    const [strings] = this.#dynamic(DT.STRTAB);
    return strings === undefined ? "" : this.#text(this.#offsetOf(strings) + offset);
  }

  #text(offset: number): string {
    const end = this.bytes.indexOf(0, offset);
    return new TextDecoder().decode(this.bytes.subarray(offset, end));
  }
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
  for (const [index, word] of words.entries()) {
    target.setBigUint64(offset + 8 + 8 * index, BigInt(word), true);
  }
}

/** Sets e_entry of the file in `target`. */
export function writeEntry(target: DataView, entry: number): void {
  target.setBigUint64(EHDR.ENTRY, BigInt(entry), true);
}
