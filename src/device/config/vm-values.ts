/** Reads and formats values of a VM's keys; readers return undefined for a malformed value. */

const UNITS: Readonly<Record<string, number>> = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/** The largest size as errors show it, rounded down: 2^53 - 1 bytes. */
export const LARGEST_VM_SIZE = "8388607G";

/** Reads a size above 0 such as `65536`, `64K`, `10M` or `1G` in bytes; units are powers of 1024. */
export function readVmSize(text: string): number | undefined {
  const match = /^([1-9][0-9]{0,14})([KMG]?)$/i.exec(text);
  const bytes = Number(match?.[1]) * (UNITS[match?.[2]?.toUpperCase() ?? ""] ?? Number.NaN);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Formats a size for {@link readVmSize}, in the largest unit without a fraction. */
export function formatVmSize(bytes: number): string {
  const [unit, factor] = Object.entries(UNITS).findLast(([, size]) => bytes % size === 0) ?? [
    "",
    1,
  ];
  return `${bytes / factor}${unit}`;
}

/** Reads a mode such as `660` or `0660`: permissions of owner, group and others. */
export function readMode(text: string): number | undefined {
  return /^0?[0-7]{3}$/.test(text) ? Number.parseInt(text, 8) : undefined;
}

/** Formats a mode for {@link readMode}. */
export function formatMode(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

/** Returns whether text has the form `USER`, `USER:GROUP` or `:GROUP`; names are not looked up. */
export function isOwner(text: string): boolean {
  return /^(?:[^:\s\0]+(?::[^:\s\0]+)?|:[^:\s\0]+)$/.test(text);
}
