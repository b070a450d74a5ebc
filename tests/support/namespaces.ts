/** Tests that need namespaces of their own: skipped where this user may not make them. */
import { describe } from "bun:test";

/** A group of tests that `unshare` with these options runs for. */
export function describeUnshared(
  options: readonly string[],
  name: string,
  body: (unshare: readonly string[]) => void,
): void {
  const unshare = ["unshare", ...options];
  const possible =
    Bun.which("unshare") !== null && Bun.spawnSync([...unshare, "true"]).exitCode === 0;
  if (!possible) console.warn(`SKIPPED: ${name}: \`${unshare.join(" ")}\` does not work here`);
  describe.skipIf(!possible)(name, () => body(unshare));
}
