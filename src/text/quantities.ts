/** Durations, sizes and whole numbers as people write them. */
import { invalidValue } from "../errors.ts";

const DURATION_UNITS: Readonly<Record<string, number>> = {
  "": 1000,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/**
 * `10`, `1.5`, `500ms`, `2m`, `1h` as milliseconds; a bare number is seconds. Undefined for anything
 * else, and for more than 24 days.
 */
export function readDuration(text: string): number | undefined {
  const match = /^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|)$/.exec(text);
  const milliseconds = Number(match?.[1]) * (DURATION_UNITS[match?.[2] ?? "none"] ?? Number.NaN);
  // Timers have a signed 32-bit count of milliseconds.
  return milliseconds <= 0x7fff_ffff ? milliseconds : undefined;
}

/** Bytes in each unit of a size. */
const SIZE_UNITS: Readonly<Record<string, number>> = {
  none: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
};

/** Reads `4096`, `64KiB`, `1.5GiB`, `64 MiB` as whole bytes; undefined for anything else. */
export function readSize(text: string): number | undefined {
  const match = /^([0-9]+(?:\.[0-9]+)?) ?(KiB|MiB|GiB|TiB|)$/.exec(text);
  const bytes = Number(match?.[1]) * (SIZE_UNITS[match?.[2] || "none"] ?? Number.NaN);
  return bytes <= Number.MAX_SAFE_INTEGER ? Math.floor(bytes) : undefined;
}

/** Reads a whole number from `min` to `max`; undefined for anything else. */
export function readInteger(text: string, min: number, max: number): number | undefined {
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN;
  return value >= min && value <= max ? value : undefined;
}

/**
 * A whole number in a range.
 *
 * @throws {VsockboxError} USAGE.
 */
export function parseInteger(text: string, option: string, min: number, max: number): number {
  const value = /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw invalidValue({
    value: text,
    name: `--${option}`,
    message: `expected a whole number from ${min} to ${max}`,
  });
}

/** A decimal u32 without sign, leading blanks or fraction; undefined for anything else. */
export function readU32(text: string): number | undefined {
  if (!/^[0-9]{1,10}$/.test(text)) return undefined;
  const value = Number(text);
  return value <= 0xffff_ffff ? value : undefined;
}
