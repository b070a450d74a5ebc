/** Runs of `vsockbox install` in a directory of each test's own. Never without --root. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ScratchDirectory, vsockbox } from "./binary.ts";
import { writeSmallBinary } from "./install-tree.ts";

/** A directory of the running test's. */
export let scratch: ScratchDirectory;
/** Where its tree is to be, in the directory. */
export let root: string;
/** A small program that passes for vsockbox. */
export let small: string;

/** Before each test. */
export function setUp(): void {
  scratch = new ScratchDirectory();
  root = scratch.file("root");
  small = writeSmallBinary(scratch.file("vsockbox-1"), "1");
}

/** After each test. */
export function tearDown(): void {
  scratch[Symbol.dispose]();
}

/** Runs it on the test's tree. */
export const install = (...words: string[]) => vsockbox(["install", "--root", root, ...words]);

/** Installs the small program. */
export const installSmall = (...words: string[]) => install("--binary", small, ...words);

/** A run that has to end well; gives what it said. */
export async function well(run: ReturnType<typeof vsockbox>): Promise<string> {
  const { status, stdout, stderr } = await run;
  if (status !== 0) throw new Error(`status ${status}: ${stderr}`);
  return stdout;
}

/** A text of the test's tree. */
export const read = (path: string) => readFileSync(join(root, path), "utf8");
