/** Patterns in paths of guests, for `cp`, `cat`, `ls` and `stat`: the guest expands them, as with scp. */
import type { AgentClient } from "../../agent/client/agent-client.ts";
import { resolveHome } from "../../agent/client/home-path.ts";
import { VsockboxError } from "../../errors.ts";
import { showPath } from "../../files/bytes-path.ts";
import { hasWildcard } from "../../files/glob.ts";

/**
 * Returns the paths that match a pattern in a guest, or the path itself if a file has this very name.
 *
 * @param shown the pattern with its target, for the error.
 * @throws {VsockboxError} IO (ENOENT) if nothing matches; BAD_DATA for an answer that does not match.
 */
export async function expandPattern(
  client: AgentClient,
  pattern: Uint8Array,
  shown: string,
): Promise<Uint8Array[]> {
  const matches: Uint8Array[] = [];
  for await (const path of client.glob(pattern)) matches.push(path);
  if (matches.length > 0) return matches;
  const request = { op: "stat", path: pattern, follow: true } as const;
  const literal = await client.request(request).catch(() => undefined);
  if (literal !== undefined) return [pattern];
  throw new VsockboxError({
    code: "IO",
    operation: "find",
    address: shown,
    message: "nothing matches the pattern",
    errno: "ENOENT",
  });
}

/** A path of a guest, as it was written and as it is now. */
export interface ExpandedPath {
  path: Uint8Array;
  shown: string;
}

/**
 * Returns the paths that an operand stands for: its matches if it is a pattern, with home directories
 * resolved.
 *
 * @throws {VsockboxError} as {@link expandPattern}, and as `resolveHome`.
 */
export async function expandOperand(
  client: AgentClient,
  { target, path, shown }: { target: string; path: Uint8Array; shown: string },
): Promise<ExpandedPath[]> {
  const resolved = await resolveHome(client, path);
  // A home directory may have the characters of a pattern in its name.
  if (!hasWildcard(path)) return [{ path: resolved, shown }];
  const matches = await expandPattern(client, resolved, shown);
  return matches.map((match) => ({ path: match, shown: `${target}:${showPath(match)}` }));
}
