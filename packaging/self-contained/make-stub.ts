/**
 * Compiles stub.c to the flat images that are part of the source, so that a build needs no C compiler:
 * `bun run packaging/self-contained/make-stub.ts`. It needs gcc and gcc-aarch64-linux-gnu.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Architecture } from "../../src/elf/elf-head.ts";
import { encodeStubImage, STUB_FILES } from "./stub-image.ts";

/** The tools of an architecture by the prefix of their names, and what only its compiler knows. */
const TOOLS: Readonly<Record<Architecture, { prefix: string; flag: string }>> = {
  x64: { prefix: "x86_64-linux-gnu-", flag: "-fcf-protection=none" },
  arm64: { prefix: "aarch64-linux-gnu-", flag: "-mbranch-protection=none" },
};

const FLAGS = [
  ..."-Os -std=c11 -Wall -Wextra -Werror -ffreestanding -fno-builtin -fpie -fvisibility=hidden".split(
    " ",
  ),
  ..."-fno-stack-protector -fno-asynchronous-unwind-tables -mgeneral-regs-only".split(" "),
  // No calls of memset and memcpy in the place of loops.
  ..."-fno-tree-loop-distribute-patterns -nostdlib -static -Wl,--build-id=none".split(" "),
];

/** Returns the first line of the compiler's `--version`; undefined if there is no compiler. */
export function compilerOf(architecture: Architecture): string | undefined {
  const compiler = Bun.which(`${TOOLS[architecture].prefix}gcc`);
  if (compiler === null) return undefined;
  return Bun.spawnSync([compiler, "--version"]).stdout.toString().split("\n", 1)[0];
}

/** Compiles the stub; returns its flat image. */
export function compileStub(architecture: Architecture): Uint8Array {
  const { prefix, flag } = TOOLS[architecture];
  const directory = mkdtempSync(join(tmpdir(), "vsockbox-stub-"));
  try {
    const [elf, image] = [join(directory, "stub.elf"), join(directory, "stub.bin")];
    run([`${prefix}gcc`, ...FLAGS, flag, "-T", "stub.ld", "stub.c", "-o", elf]);
    run([`${prefix}objcopy`, "-O", "binary", "-j", ".image", elf, image]);
    return readFileSync(image);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function run(command: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(command, { cwd: import.meta.dir });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}:\n${stderr.toString()}`);
}

if (import.meta.main) {
  for (const architecture of ["x64", "arm64"] as const) {
    const text = encodeStubImage(compileStub(architecture), compilerOf(architecture) ?? "");
    writeFileSync(join(import.meta.dir, STUB_FILES[architecture]), text);
    console.log(`${STUB_FILES[architecture]}: ${compilerOf(architecture)}`);
  }
}
