/** `vsockbox initramfs` for tests. */
import { expect } from "bun:test";
import { vsockbox } from "./binary.ts";

/** What `--json` tells. */
export interface PackSummary {
  file: string;
  size_bytes: number;
  sha256: string;
  init: { command: string[]; on_exit: string } | null;
  executable: { source: string; shared_objects: string[] };
  kernel: string | null;
  modules: string[];
  files: { source: string; path: string; mode: string }[];
  entries: number;
}

/** Writes an archive to `path`; fails where vsockbox does not. */
export async function packInto(path: string, args: readonly string[]): Promise<PackSummary> {
  const result = await vsockbox(["initramfs", "-o", path, "--json", ...args]);
  expect([result.status, result.status === 0 ? "" : result.stderr]).toEqual([0, ""]);
  return JSON.parse(result.stdout) as PackSummary;
}
