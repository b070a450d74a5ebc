/** Whether an agent can confine a command as asked. */
import { VsockboxError } from "../../errors.ts";
import { needsSandboxKernel } from "../../process/sandbox/sandbox.ts";

/**
 * Refuses what an agent would run less confined than asked: one without the feature ignores the words,
 * and one with the first of them alone takes `all` for fewer.
 *
 * @throws {VsockboxError} UNAVAILABLE.
 */
export function assertSandboxSupport(
  features: readonly string[],
  words: readonly string[] | undefined,
): void {
  if (words === undefined || words.length === 0) return;
  const feature = needsSandboxKernel(words) ? "sandbox-kernel" : "sandbox";
  if (features.includes(feature)) return;
  throw new VsockboxError({
    code: "UNAVAILABLE",
    operation: "exec",
    message: `the agent does not have --sandbox ${words.join(",")}`,
    hint: "run a newer `vsockbox agent` in the guest",
  });
}
