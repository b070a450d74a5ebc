/** Machines that are started otherwise than the product does. */
import type { Machine } from "../../src/vm/machine.ts";

/**
 * The machine with other arguments.
 *
 * @param change gives them by those that it has, and by the guest's folder.
 */
export function withArguments(
  machine: Machine,
  change: (given: string[], folder: string) => string[],
): Machine {
  return {
    ...machine,
    attempts: (folder) =>
      machine.attempts(folder).map(({ stallMs, vmm: { command, ...rest } }) => {
        const [program, ...given] = command;
        return { stallMs, vmm: { ...rest, command: [program, ...change(given, folder)] } };
      }),
  };
}
