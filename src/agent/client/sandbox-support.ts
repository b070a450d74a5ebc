/** Checks that an agent can confine a command as requested. */
import { VsockboxError } from "../../errors.ts";
import { needsSandboxKernel } from "../../process/sandbox/sandbox-options.ts";

/**
 * Rejects a sandbox that the agent would apply only in part: an agent without the feature `sandbox`
 * ignores the words, and one without `sandbox-kernel` applies fewer restrictions for `all`.
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
