/** Whether questions can be asked; without a terminal a command never waits for an answer. */
import { hasTerminalInput } from "../../process/raw-terminal.ts";

/** Returns whether both the input and the output of this process are a terminal. */
export function canPrompt(): boolean {
  return hasTerminalInput() && process.stdout.isTTY;
}
