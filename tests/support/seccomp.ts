/** What a seccomp filter would do, and the numbers of system calls, both from outside of the product. */
import {
  ARGUMENT_BYTES,
  DATA_OFFSET,
  INSTRUCTION_BYTES,
  OPCODE,
  type SeccompArchitecture,
} from "../../src/process/sandbox/seccomp-program.ts";

const BYTES_OF_SECCOMP_DATA = 64;
/** BPF_MAXINSNS, linux/bpf_common.h. */
export const MAX_INSTRUCTIONS = 4096;

/** A call as a filter sees it. */
export interface SystemCall {
  architecture: number;
  number: number;
  /** Its arguments; those left out are 0. */
  words?: readonly bigint[];
}

/** What the kernel would do: runs the bytes as classic BPF over struct seccomp_data. */
export function interpret(bytes: Uint8Array, call: SystemCall): number {
  const data = new DataView(new ArrayBuffer(BYTES_OF_SECCOMP_DATA));
  data.setInt32(DATA_OFFSET.number, call.number | 0, true);
  data.setUint32(DATA_OFFSET.architecture, call.architecture, true);
  for (const [index, word] of (call.words ?? []).entries()) {
    data.setBigUint64(
      DATA_OFFSET.arguments + index * ARGUMENT_BYTES,
      BigInt.asUintN(64, word),
      true,
    );
  }
  const program = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let accumulator = 0;
  for (let at = 0; at < bytes.length; at += INSTRUCTION_BYTES) {
    const code = program.getUint16(at, true);
    const k = program.getUint32(at + 4, true);
    const jump = (holds: boolean) => {
      at += program.getUint8(holds ? at + 2 : at + 3) * INSTRUCTION_BYTES;
    };
    switch (code) {
      case OPCODE.LOAD:
        accumulator = data.getUint32(k, true);
        break;
      case OPCODE.JUMP_EQUAL:
        jump(accumulator === k);
        break;
      case OPCODE.JUMP_AT_LEAST:
        jump(accumulator >= k);
        break;
      case OPCODE.JUMP_ANY_BIT:
        jump((accumulator & k) !== 0);
        break;
      case OPCODE.RETURN:
        return k;
      default:
        throw new Error(`no such instruction: ${code}`);
    }
  }
  throw new Error("the program runs out of its end");
}

const HEADERS: Record<SeccompArchitecture, string> = {
  // Of that name arm64 has one, too.
  x64: process.arch === "x64" ? "asm/unistd_64.h" : "the one for x86-64",
  arm64: "asm-generic/unistd.h",
};

/** Names and numbers as the C preprocessor has them; undefined where it cannot. */
export function systemCallsOf(arch: SeccompArchitecture): Map<string, number> | undefined {
  if (Bun.which("cc") === null) return undefined;
  const result = Bun.spawnSync(["cc", "-E", "-dM", "-D__ARCH_WANT_SYS_CLONE3", "-"], {
    stdin: new TextEncoder().encode(`#include <${HEADERS[arch]}>\n`),
    stderr: "ignore",
  });
  if (result.exitCode !== 0) return undefined;
  const lines = result.stdout.toString().matchAll(/^#define __NR(?:3264)?_(\w+) (\d+)$/gm);
  return new Map(Array.from(lines, ([, name = "", number]) => [name, Number(number)]));
}
