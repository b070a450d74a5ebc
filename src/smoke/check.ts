/** What all checks of `vsockbox smoke` have in common. */
import { VsockboxError } from "../errors.ts";

/** One check of a subject: a line of the report. */
export interface CheckOf<Subject> {
  name: string;
  /** Returns the finding as text; throws if the check fails. */
  run(subject: Subject): Promise<string>;
}

/** Ends a check. */
export function fail(message: string, hint?: string): never {
  throw new VsockboxError({ code: "UNAVAILABLE", operation: "complete the check", message, hint });
}

/** Ends a check in which two values differ. */
export function expectEqual(what: string, actual: unknown, expected: unknown): void {
  if (actual !== expected) fail(`${what} is ${String(actual)}, expected ${String(expected)}`);
}
