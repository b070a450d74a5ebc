/** Paths that begin with `~`: the home directory of the agent's user, or of another user of the guest. */
import { VsockboxError } from "../../errors.ts";
import { bytesPath, joinPath, showPath } from "../../files/bytes-path.ts";
import { hasWildcard } from "../../files/glob.ts";
import { HOME_FEATURE } from "../../protocols/agent/hello.ts";
import { badField, field } from "../../protocols/agent/json-fields.ts";
import type { AgentClient } from "./agent-client.ts";

const TILDE = 0x7e;
const SLASH = 0x2f;

/** Parts of a path that begins with `~`. */
export interface HomePath {
  /** Undefined: the agent's own user. */
  user: string | undefined;
  /** Path after the first slash; undefined for the home directory itself. */
  rest: Uint8Array | undefined;
}

/** Returns the parts of `~`, `~USER`, `~/PATH` and `~USER/PATH`; undefined for any other path. */
export function readHomePath(path: Uint8Array): HomePath | undefined {
  if (path[0] !== TILDE) return undefined;
  const slash = path.indexOf(SLASH);
  const user = Buffer.from(path.subarray(1, slash === -1 ? path.length : slash)).toString();
  const rest = slash === -1 ? undefined : path.subarray(slash + 1);
  return { user: user === "" ? undefined : user, rest };
}

/**
 * Resolves `~` in a path in the guest; returns any other path unchanged.
 *
 * @param client undefined: an agent that has only the Go agent's frames.
 * @throws {VsockboxError} UNAVAILABLE if the agent does not know home directories, and its own error for
 * an unknown user.
 */
export async function resolveHome(
  client: AgentClient | undefined,
  path: Uint8Array,
): Promise<Uint8Array> {
  const parts = readHomePath(path);
  if (parts === undefined) return path;
  if (client?.hello.features.includes(HOME_FEATURE) !== true) {
    throw new VsockboxError({
      code: "UNAVAILABLE",
      operation: "resolve",
      address: showPath(path),
      message: "this agent does not know home directories",
      hint: "write the whole path, or ./~ for a file whose name begins so",
    });
  }
  const home = field(await client.request({ op: "home", user: parts.user }), "home");
  if (typeof home !== "string" || !home.startsWith("/") || home.includes("\0")) {
    throw badField("home", "it is not an absolute path");
  }
  if (parts.rest === undefined) return bytesPath(home);
  // The guest's answer is not a pattern: its wildcards are escaped.
  const isPattern = hasWildcard(parts.rest);
  const literal = isPattern ? home.replaceAll(/[\\*?[]/g, String.raw`\$&`) : home;
  return joinPath(bytesPath(literal), parts.rest);
}
