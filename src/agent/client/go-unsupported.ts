/** The error for requests that the Go agent's frames cannot carry. */
import { VsockboxError } from "../../errors.ts";
import type { Operation } from "../../operations.ts";

/**
 * Returns the error for a request that the agent at the other end does not have.
 *
 * @param operation the request, as a verb phrase.
 * @param detail the part of the request that cannot be sent (default: all of it).
 */
export function unsupportedByGoAgent(operation: Operation, detail?: string): VsockboxError {
  return new VsockboxError({
    code: "UNAVAILABLE",
    operation,
    message: `the agent has only the Go agent's frames, which cannot carry ${detail ?? "this request"}`,
    errno: "EOPNOTSUPP",
    hint: "run `vsockbox agent` in the guest",
  });
}
