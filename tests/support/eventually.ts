/** Waiting for what comes about by itself. */

/** Waits until the condition holds; fails with `what` after two minutes, which a busy machine may need. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 120_000,
) {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) {
      throw new Error(`after ${timeoutMs / 1000} s still not: ${what}`);
    }
    await Bun.sleep(20);
  }
}
