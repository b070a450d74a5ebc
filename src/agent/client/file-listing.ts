/** Lists files of a guest by a pattern or a directory; each name is checked against the request. */
import type { JsonObject } from "../../protocols/agent/json-fields.ts";
import { type ChannelOpener, requestRecords } from "./channel-opener.ts";
import { CheckedEntries, CheckedMatches } from "./checked-answers.ts";

/** An entry of a directory in the guest. */
export interface RemoteEntry {
  name: Uint8Array;
  /** Type, size, mode, owner and time, as the agent sent them. */
  facts: JsonObject;
}

/**
 * Returns the paths that match a pattern in the guest, each once.
 *
 * @throws {VsockboxError} the agent's error; BAD_DATA for a path that the pattern does not match.
 */
export async function* matchPaths(
  opener: ChannelOpener,
  pattern: Uint8Array,
): AsyncGenerator<Uint8Array> {
  const matches = new CheckedMatches(pattern);
  for await (const record of requestRecords(opener, { op: "glob", pattern })) {
    const path = matches.read(record);
    if (path !== undefined) yield path;
  }
}

/**
 * Returns the entries of a directory in the guest.
 *
 * @param maxEntries limit of the entries (default: `MAX_ENTRIES`).
 * @throws {VsockboxError} the agent's error; BAD_DATA for an invalid name, or too many entries.
 */
export async function* listEntries(
  opener: ChannelOpener,
  path: Uint8Array,
  maxEntries?: number,
): AsyncGenerator<RemoteEntry> {
  const entries = new CheckedEntries(path, maxEntries);
  for await (const facts of requestRecords(opener, { op: "list", path })) {
    yield { name: entries.read(facts), facts };
  }
}
