/** What the options of an installation may be. Pure. */
import { invalidValue } from "../errors.ts";

const usage = (option: string, value: string, message: string, hint?: string) =>
  invalidValue({ value, name: `--${option}`, message, hint });

/**
 * A prefix without slashes at its end; empty for `/`. It gets into the texts of three service managers,
 * so it has nothing that any of them would read as more than itself.
 *
 * @throws {VsockboxError} USAGE.
 */
export function parsePrefix(text: string): string {
  const prefix = text.replace(/\/+$/, "");
  const isPlain = /^(?:\/[A-Za-z0-9_@+.-]+)*$/.test(prefix) && !/\/\.\.?(?:\/|$)/.test(prefix);
  if (text.startsWith("/") && isPlain) return prefix;
  throw usage("prefix", text, "expected an absolute path of letters, digits and _@+.-");
}

/**
 * Arguments of the agent as one text with single spaces. For the reason above without quotes, spaces
 * in words and what shells expand.
 *
 * @throws {VsockboxError} USAGE.
 */
export function parseAgentArgs(text: string): string {
  const words = text.split(/[ \t]+/).filter((word) => word !== "");
  const odd = words.find((word) => !/^[A-Za-z0-9_@%+=:,./-]+$/.test(word));
  if (odd === undefined) return words.join(" ");
  throw usage(
    "agent-args",
    text,
    `${JSON.stringify(odd)} has other characters than letters, digits and _@%+=:,./-`,
    "put it into the service's own configuration afterwards",
  );
}

/**
 * `none`, `all`, or names with commas between.
 *
 * @throws {VsockboxError} USAGE.
 */
export function parseLinks(text: string, known: readonly string[]): readonly string[] {
  if (text === "none") return [];
  if (text === "all") return known;
  const names = [...new Set(text.split(","))];
  const unknown = names.find((name) => !known.includes(name));
  if (unknown === undefined) return names;
  throw usage("links", text, `expected none, all, or names of ${known.join(", ")}`);
}
