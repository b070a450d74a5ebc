/** The command line byte for byte: the runtime's strings lose bytes that are not UTF-8. */
import { readFileSync } from "node:fs";
import { splitAtNul } from "./environment.ts";

/**
 * Returns the last `count` words of this process's command line from the kernel. If that cannot
 * be read (/proc not mounted), the given strings in UTF-8.
 */
export function rawArguments(count: number, strings: readonly string[]): Uint8Array[] {
  const encoder = new TextEncoder();
  const decoded = strings.map((text) => encoder.encode(text));
  if (count === 0 || !strings.some((text) => text.includes("\uFFFD"))) return decoded;
  try {
    const words = splitAtNul(readFileSync("/proc/self/cmdline")).slice(-count);
    return words.length === count ? words : decoded;
  } catch {
    return decoded;
  }
}

/**
 * Words of this process's command line byte for byte, wherever they stand in it, also as the value
 * of an option in the same word. A word that is UTF-8 is used as it is; another is looked up among
 * the kernel's, in order.
 */
export function rawWords(strings: readonly string[]): Uint8Array[] {
  const encoder = new TextEncoder();
  if (!strings.some((text) => text.includes("\uFFFD"))) {
    return strings.map((text) => encoder.encode(text));
  }
  const words = kernelWords();
  return strings.map((text) => takeWord(words, text) ?? encoder.encode(text));
}

/** Removes the first word that is `text`, or an option with it as its value, and returns its bytes. */
function takeWord(words: Uint8Array[], text: string): Uint8Array | undefined {
  const decoded = words.map((word) => new TextDecoder().decode(word));
  const index = decoded.findIndex(
    (word) => word === text || optionBefore(word, text) !== undefined,
  );
  const [word] = index === -1 ? [] : words.splice(index, 1);
  return word?.subarray((optionBefore(decoded[index] ?? "", text) ?? "").length);
}

/** `--name=` or `-n` in front of a value; undefined if there is none. */
function optionBefore(word: string, value: string): string | undefined {
  const before = word.slice(0, word.length - value.length);
  return word.endsWith(value) && /^(?:--[a-z-]+=|-[a-zA-Z]=?)$/.test(before) ? before : undefined;
}

function kernelWords(): Uint8Array[] {
  try {
    return splitAtNul(readFileSync("/proc/self/cmdline"));
  } catch {
    return [];
  }
}
