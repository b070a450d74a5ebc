/** Patterns of names that a watcher leaves out, with everything below them. */
import { baseName, type BytesPath } from "../../files/bytes-path.ts";
import { componentMatcher } from "../../files/glob.ts";

/**
 * Returns whether the last component of a path matches one of the patterns; undefined without patterns.
 *
 * @param patterns with `*`, `?` and `[…]`, for one component.
 */
export function excludedNames(
  patterns: readonly string[],
): ((path: BytesPath) => boolean) | undefined {
  if (patterns.length === 0) return undefined;
  // Latin-1 makes a character of every byte, so that they match names that are not UTF-8.
  const matchers = patterns.map((pattern) =>
    componentMatcher(Buffer.from(pattern).toString("latin1")),
  );
  return (path) => {
    const name = baseName(path).toString("latin1");
    return matchers.some((matches) => matches(name));
  };
}
