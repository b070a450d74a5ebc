/** Processes of the measurement, none of which is to outlive it, not even where it is interrupted. */
import { constants } from "node:os";

const children = new Set<Bun.Subprocess>();

process.once("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});

/** Ends with the measurement. */
export function kept<Child extends Bun.Subprocess>(child: Child): Child {
  children.add(child);
  void child.exited.then(() => children.delete(child));
  return child;
}

/** Lets an interrupt run what is registered for the process's exit. */
export function exitOnSignals(): void {
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(name, () => process.exit(128 + constants.signals[name]));
  }
}
