/** The first bytes of an ELF file of any class and byte order: elf(5). */

/** e_ident, e_type and e_machine, in bytes. */
export const HEAD_BYTES = 20;

/** e_type: a program at a fixed address, and one that goes anywhere or a library. */
export const ET = { EXEC: 2, DYN: 3 } as const;

/** What kind of ELF file it is. */
export interface ElfHead {
  is64Bit: boolean;
  isLittleEndian: boolean;
  /** e_type. */
  type: number;
  /** e_machine. */
  machine: number;
}

/** Undefined if the bytes are too few, or not the beginning of an ELF file. */
export function parseElfHead(bytes: Uint8Array): ElfHead | undefined {
  if (bytes.length < HEAD_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0) !== 0x7f454c46) return undefined;
  const isLittleEndian = bytes[5] !== 2;
  return {
    is64Bit: bytes[4] === 2,
    isLittleEndian,
    type: view.getUint16(16, isLittleEndian),
    machine: view.getUint16(18, isLittleEndian),
  };
}

/** Names of e_machine (elf.h). */
const MACHINES: Readonly<Record<number, string>> = {
  3: "x86",
  40: "arm",
  62: "x86-64",
  183: "arm64",
  243: "riscv",
};

/** Returns the name of an architecture (e_machine), such as `x86-64`; its number if it has none here. */
export function machineName(machine: number): string {
  return MACHINES[machine] ?? `ELF machine ${machine}`;
}

/** An architecture for which there are self-contained executables, by the name that Bun has for it. */
export type Architecture = "x64" | "arm64";

/** The architecture of e_machine, or undefined. */
export function architectureOf(machine: number): Architecture | undefined {
  return machine === 62 ? "x64" : machine === 183 ? "arm64" : undefined;
}
