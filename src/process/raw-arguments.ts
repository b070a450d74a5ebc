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
