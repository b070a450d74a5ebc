/** Paths of Unix sockets at which there is a file of another kind. */
import { statSync } from "node:fs";

/**
 * Returns what a path leads to if that is not a socket, such as "a directory"; undefined for a socket, and
 * if the path cannot be examined.
 */
export function otherFileKind(path: string): string | undefined {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined || stats.isSocket()) return undefined;
  if (stats.isDirectory()) return "a directory";
  return stats.isFile() ? "a regular file" : "a file of another kind";
}
