/** How this very program is started again. */

import { existsSync } from "node:fs";

/** Bun's compiled executables have their modules below this virtual root. */
const COMPILED_ROOT = "/$bunfs/";

/** The file that this process runs, also if its path has another one by now, or none. */
const RUNNING_FILE = "/proc/self/exe";

/**
 * Argument vector that starts the running program again, not the file at its path: a command of an agent
 * may have replaced that. Without /proc there is the path alone.
 */
export function runningCommand(): [string, ...string[]] {
  const [program, ...rest] = selfCommand();
  return [existsSync(RUNNING_FILE) ? RUNNING_FILE : program, ...rest];
}

/** Argument vector that starts this program: the compiled file alone, or bun with the source file. */
export function selfCommand(): [string, ...string[]] {
  return Bun.main.startsWith(COMPILED_ROOT) ? [process.execPath] : [process.execPath, Bun.main];
}
