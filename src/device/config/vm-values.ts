/** Values of a VM's keys that have a form of their own: text in, value out, undefined for no such value. */

const UNITS: Readonly<Record<string, number>> = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/** `65536`, `64K`, `10M`, `1G` in bytes; more than 0. The units are powers of 1024. */
export function readSize(text: string): number | undefined {
  const match = /^([1-9][0-9]{0,14})([KMG]?)$/i.exec(text);
  const bytes = Number(match?.[1]) * (UNITS[match?.[2]?.toUpperCase() ?? ""] ?? Number.NaN);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** A size as {@link readSize} takes it, with the largest unit that leaves no fraction. */
export function formatSize(bytes: number): string {
  const [unit, factor] = Object.entries(UNITS).findLast(([, size]) => bytes % size === 0) ?? [
    "",
    1,
  ];
  return `${bytes / factor}${unit}`;
}

/** `660` or `0660`: the rights of owner, group and others. */
export function readMode(text: string): number | undefined {
  return /^0?[0-7]{3}$/.test(text) ? Number.parseInt(text, 8) : undefined;
}

/** A mode as {@link readMode} takes it. */
export function formatMode(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

/** Whether it has the form of `USER`, `USER:GROUP` or `:GROUP`; who that is, the system's files say. */
export function isOwner(text: string): boolean {
  return /^(?:[^:\s\0]+(?::[^:\s\0]+)?|:[^:\s\0]+)$/.test(text);
}
