/** Several destinations of `cp` in one word: `a,b:/tmp/` is /tmp/ in a and in b. */
import { existsSync } from "node:fs";
import { namesTargets } from "../shared/target-list.ts";
import { parseOperand } from "../shared/target.ts";

const COMMA = ",";

/**
 * Returns the destinations of a word: one for each target if it begins with several of them, and the word
 * itself otherwise, as for a local file with commas in its name.
 *
 * @param word as bytes: a path need not be UTF-8.
 */
export function splitDestination(word: Uint8Array): Uint8Array[] {
  // Latin-1 keeps every byte apart.
  const text = Buffer.from(word).toString("latin1");
  const parts = text.split(COMMA);
  for (let count = 1; count < parts.length; count++) {
    if (!namesTargets(parts[count - 1] ?? "")) break;
    const last = Buffer.from(parts.slice(count).join(COMMA), "latin1");
    const parsed = parseOperand(last);
    if (parsed.kind !== "remote" || parsed.target.includes(COMMA)) continue;
    if (!namesTargets(parsed.target)) continue;
    if (existsSync(Buffer.from(word))) break;
    const firsts = parts.slice(0, count).map((target) => {
      return Buffer.concat([Buffer.from(`${target}:`, "latin1"), parsed.path]);
    });
    return [...firsts, last];
  }
  return [word];
}
