/** Machines that are started otherwise than the product does. */
import type { GuestKind } from "../../src/vm/machine.ts";

/**
 * The machine with other arguments.
 *
 * @param change gives them by those that it has, and by the guest's directory.
 */
export function withArguments(
  machine: GuestKind,
  change: (given: string[], scratch: string) => string[],
): GuestKind {
  return {
    ...machine,
    attempts: (scratch) =>
      machine.attempts(scratch).map(({ stallMs, vmm: { command, ...rest } }) => {
        const [program, ...given] = command;
        return { stallMs, vmm: { ...rest, command: [program, ...change(given, scratch)] } };
      }),
  };
}
