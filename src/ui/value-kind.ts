/** Kinds of values on a command line: what is expected, and how the text becomes a value. */
import {
  isTooLarge,
  isTooLong,
  LARGEST_SIZE,
  LONGEST_DURATION,
  readDuration,
  readInteger,
  readSize,
} from "../text/quantities.ts";
import { formatDuration, formatSize } from "../text/units.ts";

/** How the text of an option or operand is read and shown. */
export interface ValueKind<T> {
  /** What stands for the value in usage lines, such as `TIME`. */
  readonly valueName: string;
  /** Completes "expected …" in the error about any other text. */
  readonly expected: string;
  /** Returns the maximum as a user would write it, for a text of the right form that is above it. */
  exceeded?(text: string): string | undefined;
  /** All texts that are accepted, if they can be listed. */
  readonly choices?: readonly string[];
  /** What a shell offers for the value. */
  readonly completes?: "file" | "directory";
  /**
   * Returns the value; undefined if the text is not one.
   *
   * @throws {VsockboxError} if the kind has a more precise error than {@link expected}.
   */
  parse(text: string): T | undefined;
  /** Returns the value as a user would write it. */
  format(value: T): string;
}

/**
 * Returns the kind of a text that may not be empty.
 *
 * @param expected completes "expected …"; only the empty text is refused.
 */
export function word(valueName: string, expected = "a text that is not empty"): ValueKind<string> {
  return {
    valueName,
    expected,
    parse: (given) => (given === "" ? undefined : given),
    format: (value) => value,
  };
}

/** Returns the kind of a text that may be empty. */
export function anyWord(valueName: string): ValueKind<string> {
  return { ...word(valueName, "a text"), parse: (given) => given };
}

/** A path of a file. */
export const FILE: ValueKind<string> = { ...word("FILE", "a path"), completes: "file" };

/** A path of a file; the empty text stands for none, as with an environment variable. */
export const FILE_OR_NONE: ValueKind<string> = { ...anyWord("FILE"), completes: "file" };

/** A path of a directory. */
export const DIRECTORY: ValueKind<string> = { ...word("DIR", "a path"), completes: "directory" };

/** A duration, in milliseconds. */
export const DURATION: ValueKind<number> = {
  valueName: "TIME",
  expected: "a duration such as 10, 1.5s, 500ms or 2m",
  exceeded: (given) => (isTooLong(given) ? LONGEST_DURATION : undefined),
  parse: readDuration,
  format: formatDuration,
};

/** Returns the kind of a duration of at least `minMs`, in milliseconds. */
export function durationOfAtLeast(minMs: number): ValueKind<number> {
  return {
    ...DURATION,
    // `expected` names the maximum.
    exceeded: () => undefined,
    expected: `a duration from ${formatDuration(minMs)} to ${LONGEST_DURATION}, such as 500ms or 2`,
    parse: (given) => {
      const milliseconds = readDuration(given);
      return milliseconds !== undefined && milliseconds >= minMs ? milliseconds : undefined;
    },
  };
}

/** A size, in bytes. */
export const SIZE: ValueKind<number> = {
  valueName: "SIZE",
  expected: "a size such as 4096, 64KiB, 500MiB or 1.5GiB",
  exceeded: (given) => (isTooLarge(given) ? LARGEST_SIZE : undefined),
  parse: readSize,
  format: formatSize,
};

/** Returns the kind of a size in a range, in bytes. */
export function sizeBetween(minBytes: number, maxBytes: number): ValueKind<number> {
  return {
    ...SIZE,
    // `expected` names the maximum.
    exceeded: () => undefined,
    expected: `a size from ${formatSize(minBytes)} to ${formatSize(maxBytes)}, such as 65536 or 64KiB`,
    parse: (given) => {
      const bytes = readSize(given);
      return bytes !== undefined && bytes >= minBytes && bytes <= maxBytes ? bytes : undefined;
    },
  };
}

/** Returns the kind of a whole number from `min` to `max`. */
export function integer(
  min: number,
  max: number = Number.MAX_SAFE_INTEGER,
  valueName = "COUNT",
): ValueKind<number> {
  return {
    valueName,
    expected: `a whole number from ${min} to ${max}`,
    parse: (given) => readInteger(given, min, max),
    format: String,
  };
}

/** Returns the kind of one word out of several. */
export function choice<const C extends readonly [string, ...string[]]>(
  choices: C,
): ValueKind<C[number]> {
  return {
    valueName: choices.join("|"),
    expected:
      choices.length === 1 ? choices[0] : `${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}`,
    choices,
    parse: (given) => choices.find((candidate) => candidate === given),
    format: (value) => value,
  };
}
