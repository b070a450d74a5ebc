/**
 * Whether this process has a terminal. The runtime's own answer, `process.stdout.isTTY`, sets up its whole
 * stream first, which takes 1 to 2 ms.
 */
import { getTermios } from "../ffi/termios.ts";

const [STDIN, STDOUT] = [0, 1];

/** Whether standard input and output are a terminal: without one, a command never waits for an answer. */
export function hasTerminal(): boolean {
  return hasTerminalInput() && getTermios(STDOUT) !== undefined;
}

/** Whether keys can be read from standard input; output may go elsewhere. */
export function hasTerminalInput(): boolean {
  return getTermios(STDIN) !== undefined;
}
