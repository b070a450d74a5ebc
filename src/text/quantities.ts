/** Durations, sizes and whole numbers as people write them. */
import { invalidValue } from "../errors.ts";

const DURATION_UNITS: Readonly<Record<string, number>> = {
  "": 1000,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Longest duration in milliseconds: timers have a signed 32-bit count of them. */
const MAX_DURATION_MS = 0x7fff_ffff;

/** The longest duration as errors show it, rounded down. */
export const LONGEST_DURATION = "596h";

/** The largest size as errors show it, rounded down: 2^53 - 1 bytes. */
export const LARGEST_SIZE = "8191TiB";

/**
 * `10`, `1.5`, `500ms`, `2m`, `1h` as milliseconds; a bare number is seconds. Undefined for anything
 * else, and above {@link LONGEST_DURATION}.
 */
export function readDuration(text: string): number | undefined {
  const milliseconds = millisecondsOf(text);
  return milliseconds <= MAX_DURATION_MS ? milliseconds : undefined;
}

/** Returns whether a text is a duration, but a longer one than {@link readDuration} accepts. */
export function isTooLong(text: string): boolean {
  return millisecondsOf(text) > MAX_DURATION_MS;
}

/** NaN for anything but a duration. */
function millisecondsOf(text: string): number {
  const match = /^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|)$/.exec(text);
  return Number(match?.[1]) * (DURATION_UNITS[match?.[2] ?? "none"] ?? Number.NaN);
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
  const bytes = bytesOf(text);
  return bytes <= Number.MAX_SAFE_INTEGER ? Math.floor(bytes) : undefined;
}

/** Returns whether a text is a size, but a larger one than {@link readSize} accepts. */
export function isTooLarge(text: string): boolean {
  return bytesOf(text) > Number.MAX_SAFE_INTEGER;
}

/** NaN for anything but a size. */
function bytesOf(text: string): number {
  const match = /^([0-9]+(?:\.[0-9]+)?) ?(KiB|MiB|GiB|TiB|)$/.exec(text);
  return Number(match?.[1]) * (SIZE_UNITS[match?.[2] || "none"] ?? Number.NaN);
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
