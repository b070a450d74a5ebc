/**
 * The executable as a runtime of scripts: what its own commands do with a file, a child or a library,
 * by BUN_BE_BUN, whose name the build overwrites.
 */
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { BINARY } from "./binary.ts";

/** The environment in which a {@link writeRuntimeBinary} runs scripts. */
export const AS_RUNTIME = { BUN_BE_BUN: "1" };

/** Writes a copy of the executable in which the name stands again; otherwise it is the same. */
export function writeRuntimeBinary(path: string): void {
  const bytes = readFileSync(BINARY);
  const at = bytes.indexOf("\0\0UN_BE_BUN\0");
  if (at < 0) throw new Error("the executable has no overwritten BUN_BE_BUN");
  bytes.write("B", at + 1);
  writeFileSync(path, bytes);
  chmodSync(path, 0o755);
}
