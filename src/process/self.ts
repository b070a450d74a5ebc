/** How this very program is started again. */

/** Bun's compiled executables have their modules below this virtual root. */
const COMPILED_ROOT = "/$bunfs/";

/** Argument vector that starts this program: the compiled file alone, or bun with the source file. */
export function selfCommand(): [string, ...string[]] {
  return Bun.main.startsWith(COMPILED_ROOT) ? [process.execPath] : [process.execPath, Bun.main];
}
