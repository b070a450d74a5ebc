/** Durations in the options of the library. */

/** Durations of options, in milliseconds; undefined: the default. */
interface Durations {
  timeoutMs?: number | undefined;
  keepaliveMs?: number | undefined;
}

/**
 * Checks durations of options before anything is opened.
 *
 * @throws {RangeError} for one that is negative or not a number. Infinity is a time that never comes.
 */
export function assertDurations({ timeoutMs, keepaliveMs }: Durations): void {
  assertDuration("timeoutMs", timeoutMs);
  assertDuration("keepaliveMs", keepaliveMs);
}

function assertDuration(name: string, value: number | undefined): void {
  if (value === undefined || (typeof value === "number" && value >= 0)) return;
  throw new RangeError(`${name} is not a duration in milliseconds: ${value}`);
}
