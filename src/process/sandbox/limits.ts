/** Limits of a sandboxed command: words such as `processes=64`, and setrlimit(2). */
import { invalidValue } from "../../errors.ts";
import { setResourceLimit } from "../../ffi/resource-limit.ts";

/** A limit's resource, bits/resource.h, and whether it is a size. */
interface LimitKind {
  resource: number;
  isSize: boolean;
}

/**
 * The limits by their words:
 *
 * - `processes`: RLIMIT_NPROC, processes and threads of the command's user at once;
 * - `memory`: RLIMIT_DATA, private memory of each process;
 * - `open-files`: RLIMIT_NOFILE, descriptors of each process;
 * - `file-size`: RLIMIT_FSIZE, the largest file that is written.
 */
export const RESOURCE_LIMITS: Readonly<Record<LimitName, LimitKind>> = {
  processes: { resource: 6, isSize: false },
  memory: { resource: 2, isSize: true },
  "open-files": { resource: 7, isSize: false },
  "file-size": { resource: 1, isSize: true },
};

/** A word of {@link RESOURCE_LIMITS}. */
export type LimitName = "processes" | "memory" | "open-files" | "file-size";

/** A limit as one word, sizes in bytes. */
export type LimitWord = `${LimitName}=${number}`;

/** Largest limit that is a count: fifteen digits. */
const MAX_COUNT = 999_999_999_999_999;

const UNITS: Readonly<Record<string, number>> = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/**
 * Reads `processes=64` or `memory=512M`; undefined for a word that is not a limit.
 *
 * @throws {VsockboxError} USAGE for a limit with a wrong value.
 */
export function parseLimit(word: string): LimitWord | undefined {
  const [name = "", ...rest] = word.split("=");
  if (rest.length === 0 || !isLimit(name)) return undefined;
  const { isSize } = RESOURCE_LIMITS[name];
  const match = /^([1-9][0-9]{0,14})([KMG]?)$/i.exec(rest.join("="));
  const unit = match?.[2]?.toUpperCase() ?? "";
  const value = Number(match?.[1]) * (UNITS[unit] ?? Number.NaN);
  if (Number.isSafeInteger(value) && (isSize || unit === "")) return `${name}=${value}`;
  throw invalidValue({
    value: word,
    name: "--sandbox",
    message: isSize
      ? "expected a size such as 65536, 512K, 64M or 2G"
      : `expected a whole number from 1 to ${MAX_COUNT}`,
  });
}

/** Whether a word is a limit, as {@link parseLimit} returns it. */
export function isLimitWord(word: string): word is LimitWord {
  return word.includes("=") && isLimit(word.split("=")[0] ?? "");
}

function isLimit(name: string): name is LimitName {
  return Object.hasOwn(RESOURCE_LIMITS, name);
}

/** Name and value of a word. */
export function readLimit(word: LimitWord): { name: LimitName; value: number } {
  const [name = "", value] = word.split("=");
  return { name: name as LimitName, value: Number(value) };
}

/** Returns each limit once, the lowest of several. */
export function lowestLimits(words: readonly LimitWord[]): LimitWord[] {
  return Object.keys(RESOURCE_LIMITS).flatMap((name) => {
    const values = words.map(readLimit).filter((limit) => limit.name === name);
    if (values.length === 0) return [];
    return [`${name as LimitName}=${Math.min(...values.map(({ value }) => value))}` as const];
  });
}

/**
 * Sets them for this process and the program that it executes. A limit above the present one stays as
 * it is.
 *
 * @param otherThreads how many threads of helpers count as the command's user's.
 * @throws {VsockboxError} as setrlimit(2).
 */
export function applyLimits(words: readonly LimitWord[], otherThreads: number): void {
  for (const { name, value } of words.map(readLimit)) {
    const extra = name === "processes" ? otherThreads : 0;
    setResourceLimit(RESOURCE_LIMITS[name].resource, value + extra, name);
  }
}
