/** The command line byte for byte: the runtime's own strings lose what is not UTF-8. */
import { readFileSync } from "node:fs";

/**
 * The last `count` words of this process's command line as the kernel has them. Where that cannot
 * be read (/proc not mounted), the given strings in UTF-8.
 */
export function rawArguments(count: number, strings: readonly string[]): Uint8Array[] {
  const encoder = new TextEncoder();
  const decoded = strings.map((text) => encoder.encode(text));
  if (count === 0 || !strings.some((text) => text.includes("\uFFFD"))) return decoded;
  try {
    const words = splitWords(readFileSync("/proc/self/cmdline")).slice(-count);
    return words.length === count ? words : decoded;
  } catch {
    return decoded;
  }
}

/**
 * Words of this process's command line byte for byte, wherever they stand in it. A word that is
 * UTF-8 is taken as it is; another is looked up among the kernel's, in order.
 */
export function rawWords(strings: readonly string[]): Uint8Array[] {
  const encoder = new TextEncoder();
  if (!strings.some((text) => text.includes("\uFFFD"))) {
    return strings.map((text) => encoder.encode(text));
  }
  const words = kernelWords();
  return strings.map((text) => {
    const index = words.findIndex((word) => new TextDecoder().decode(word) === text);
    return (index === -1 ? undefined : words.splice(index, 1)[0]) ?? encoder.encode(text);
  });
}

function kernelWords(): Uint8Array[] {
  try {
    return splitWords(readFileSync("/proc/self/cmdline"));
  } catch {
    return [];
  }
}

/** NUL-terminated words, proc(5). */
function splitWords(commandLine: Uint8Array): Uint8Array[] {
  const words: Uint8Array[] = [];
  let begin = 0;
  for (let end = commandLine.indexOf(0); end !== -1; end = commandLine.indexOf(0, begin)) {
    words.push(commandLine.subarray(begin, end));
    begin = end + 1;
  }
  return words;
}
