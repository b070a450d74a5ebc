/**
 * Bun reads variables of its own from the environment, also in a compiled program: BUN_OPTIONS runs
 * other code before the program's, BUN_BE_BUN makes the executable Bun itself, BUN_INSPECT opens a
 * debugger. The names are overwritten in the executable, so that it reads none of them and still
 * passes them on to the commands that it starts.
 */

/** Names without which the executable would run code that is not its own. */
export const REQUIRED_NAMES = [
  "BUN_OPTIONS",
  "BUN_BE_BUN",
  "BUN_INSPECT",
  "BUN_INSPECT_CONNECT_TO",
  "BUN_INSPECT_PRELOAD",
] as const;

/** The prefix of every name that is overwritten. */
const PREFIX = Buffer.from("\0BUN_");
const NAME_CHARACTER = /[A-Z0-9_]/;

/**
 * Overwrites the first letter of every NUL-terminated name that begins with BUN_, in place: what
 * begins with NUL is the name of no variable.
 *
 * @returns the names.
 * @throws {Error} if one of {@link REQUIRED_NAMES} is not among them: another Bun has them elsewhere.
 */
export function overwriteRuntimeVariables(executable: Uint8Array): string[] {
  const bytes = Buffer.from(executable.buffer, executable.byteOffset, executable.byteLength);
  const names: string[] = [];
  for (let at = bytes.indexOf(PREFIX); at >= 0; at = bytes.indexOf(PREFIX, at + 1)) {
    let end = at + PREFIX.length;
    while (NAME_CHARACTER.test(String.fromCharCode(bytes[end] ?? 0))) end++;
    if (bytes[end] !== 0 || end === at + PREFIX.length) continue;
    names.push(bytes.toString("latin1", at + 1, end));
    bytes[at + 1] = 0;
  }
  const absent = REQUIRED_NAMES.filter((name) => !names.includes(name));
  if (absent.length === 0) return names;
  throw new Error(`the runtime has no ${absent.join(", ")} where a variable's name is expected`);
}
