/** Rates, amounts and latencies for people: decimal units, as networks have them. */

const NS_PER_US = 1000;
const NS_PER_MS = 1_000_000;
const NS_PER_SECOND = 1_000_000_000;
const MS_PER_SECOND = 1000;

const AMOUNTS = ["B", "kB", "MB", "GB", "TB"] as const;

/** Returns a number a second; 0 if no time has passed. */
export function perSecond(count: number, elapsedMs: number): number {
  return elapsedMs > 0 ? (count * MS_PER_SECOND) / elapsedMs : 0;
}

/** `1063.2 MB/s`: 10^6 bytes a second. */
export function formatMegabytes(bytesPerSecond: number): string {
  return `${(bytesPerSecond / 1e6).toFixed(1)} MB/s`;
}

/** `8.51 Gbit/s`: 10^9 bits a second. */
export function formatGigabits(bytesPerSecond: number): string {
  return `${((bytesPerSecond * 8) / 1e9).toFixed(2)} Gbit/s`;
}

/** `2.13 GB`: powers of 1000; bytes below 1000 as they are. */
export function formatAmount(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < AMOUNTS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(2)} ${AMOUNTS[unit] ?? ""}`;
}

/** `41.2 µs`, `1.25 ms`, `2.00 s`. */
export function formatLatency(ns: number): string {
  if (ns < NS_PER_MS) return `${(ns / NS_PER_US).toFixed(1)} µs`;
  if (ns < NS_PER_SECOND) return `${(ns / NS_PER_MS).toFixed(2)} ms`;
  return `${(ns / NS_PER_SECOND).toFixed(2)} s`;
}

/** `23021/s`. */
export function formatRate(operationsPerSecond: number): string {
  return `${Math.round(operationsPerSecond)}/s`;
}

/** `97 %`: processor time of a time, of one processor. */
export function formatCpu(cpuMs: number, elapsedMs: number): string {
  return elapsedMs > 0 ? `${Math.round((cpuMs / elapsedMs) * 100)} %` : "";
}

/** `2.0 s`. */
export function formatSeconds(milliseconds: number): string {
  return `${(milliseconds / MS_PER_SECOND).toFixed(1)} s`;
}
