/**
 * Filters for system calls as classic BPF programs for seccomp(2), whatever they allow. Pure: numbers
 * in, bytes out.
 */

/** Processors that there is a filter for, as `process.arch` has them. */
export const SECCOMP_ARCHITECTURES = ["x64", "arm64"] as const;

/** One of {@link SECCOMP_ARCHITECTURES}. */
export type SeccompArchitecture = (typeof SECCOMP_ARCHITECTURES)[number];

/** A system call's number on each architecture; undefined if it has no such call. */
export type CallNumbers = Readonly<Record<SeccompArchitecture, number | undefined>>;

/** A call that the two processors number differently. */
export const callOf = (x64: number | undefined, arm64: number | undefined): CallNumbers => ({
  x64,
  arm64,
});
/** A call with the same number on both, as all new ones have. */
export const everywhere = (number: number): CallNumbers => callOf(number, number);

/** AUDIT_ARCH_X86_64 and AUDIT_ARCH_AARCH64, linux/audit.h. */
export const AUDIT_ARCH: Readonly<Record<SeccompArchitecture, number>> = {
  x64: 0xc000_003e,
  arm64: 0xc000_00b7,
};

/** What the kernel does with a call, linux/seccomp.h. */
export const ACTION = {
  ALLOW: 0x7fff_0000,
  KILL_PROCESS: 0x8000_0000,
  EPERM: 0x0005_0001,
  ENOSYS: 0x0005_0026,
  EAFNOSUPPORT: 0x0005_0061,
} as const;

/** One instruction, struct sock_filter. */
export interface Instruction {
  code: number;
  /** Instructions to skip if the condition holds, and if not. */
  jt: number;
  jf: number;
  k: number;
}

/** The instructions in use, linux/bpf_common.h. */
export const OPCODE = {
  /** BPF_LD | BPF_W | BPF_ABS */
  LOAD: 0x20,
  /** BPF_JMP | BPF_JEQ | BPF_K */
  JUMP_EQUAL: 0x15,
  /** BPF_JMP | BPF_JGE | BPF_K */
  JUMP_AT_LEAST: 0x35,
  /** BPF_JMP | BPF_JSET | BPF_K */
  JUMP_ANY_BIT: 0x45,
  /** BPF_RET | BPF_K */
  RETURN: 0x06,
} as const;

/** Offsets in struct seccomp_data; of an argument the low half comes first. */
export const DATA_OFFSET = { number: 0, architecture: 4, arguments: 16 } as const;

/** Bytes of one argument there. */
export const ARGUMENT_BYTES = 8;

/** Reads 32 bits of struct seccomp_data. */
export const load = (offset: number): Instruction => ({
  code: OPCODE.LOAD,
  jt: 0,
  jf: 0,
  k: offset,
});
/** Ends the program. */
export const returnAction = (action: number): Instruction => ({
  code: OPCODE.RETURN,
  jt: 0,
  jf: 0,
  k: action,
});

/**
 * The beginning of each filter: a program of another architecture, whose calls have other numbers, is none
 * that may go on. What follows has the call's number at hand.
 */
export function beginFilter(arch: SeccompArchitecture): Instruction[] {
  return [
    load(DATA_OFFSET.architecture),
    { code: OPCODE.JUMP_EQUAL, jt: 1, jf: 0, k: AUDIT_ARCH[arch] },
    returnAction(ACTION.KILL_PROCESS),
    load(DATA_OFFSET.number),
  ];
}

/** Bytes of one struct sock_filter. */
export const INSTRUCTION_BYTES = 8;

/** The program as an array of struct sock_filter, little-endian as both processors are. */
export function encodeProgram(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * INSTRUCTION_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [index, { code, jt, jf, k }] of program.entries()) {
    const offset = index * INSTRUCTION_BYTES;
    view.setUint16(offset, code, true);
    view.setUint8(offset + 2, jt);
    view.setUint8(offset + 3, jf);
    view.setUint32(offset + 4, k, true);
  }
  return bytes;
}
