/**
 * Checks the names in an agent's answers against the request. A guest may answer anything, and its names
 * are printed, copied, and used for files on this side: a match must match the pattern that the user
 * typed, an entry of a directory must be one component, and both have a limit.
 */
import { namesDirectory } from "../../files/bytes-path.ts";
import { pathMatcher } from "../../files/glob.ts";
import { badField, type JsonObject } from "../../protocols/agent/json-fields.ts";
import { isFileName, readPathField } from "../../protocols/agent/paths.ts";

/** Limit of matches of one pattern, the same as the agent's. */
export const MAX_MATCHES = 100_000;

/** Limit of all matches of one pattern, in bytes. */
const MAX_MATCH_BYTES = 32 * 1024 * 1024;

/** Default limit of entries of one directory. */
const MAX_ENTRIES = 10_000_000;

/** Checks the matches of one pattern. */
export class CheckedMatches {
  readonly #matches: (path: Uint8Array) => boolean;
  readonly #seen = new Set<string>();
  #bytes = 0;

  /** @param pattern a path with wildcards, as the user typed it. */
  constructor(pattern: Uint8Array) {
    this.#matches = pathMatcher(pattern);
  }

  /**
   * Returns the path of a match; undefined for a repeated one.
   *
   * @throws {VsockboxError} BAD_DATA for a path that the pattern does not match, or too many.
   */
  read(record: JsonObject): Uint8Array | undefined {
    const path = readPathField("match", record, "path");
    if (!this.#matches(path))
      throw badField("match", "the agent named a file that was not asked for");
    const key = Buffer.from(path).toString("latin1");
    if (this.#seen.has(key)) return undefined;
    this.#bytes += path.length;
    if (this.#seen.size >= MAX_MATCHES || this.#bytes > MAX_MATCH_BYTES) {
      throw badField("match", "the agent sends more matches than it may");
    }
    this.#seen.add(key);
    return path;
  }
}

/** Checks the entries of one directory. */
export class CheckedEntries {
  readonly #requested: Uint8Array;
  readonly #maxEntries: number;
  #entries = 0;
  #isFile = false;

  /** @param requested the path whose entries they are. */
  constructor(requested: Uint8Array, maxEntries: number = MAX_ENTRIES) {
    this.#requested = requested;
    this.#maxEntries = maxEntries;
  }

  /**
   * Returns the name in an entry: one component, or the whole requested path if that is not a directory,
   * which is then the only entry.
   *
   * @throws {VsockboxError} BAD_DATA for any other name, or too many entries.
   */
  read(record: JsonObject): Uint8Array {
    const name = readPathField("entry", record, "name");
    if (this.#isFile || ++this.#entries > this.#maxEntries) {
      throw badField("entry", "the agent sends more entries than it may");
    }
    const isRequested = Buffer.compare(name, this.#requested) === 0 && !namesDirectory(name);
    if (this.#entries === 1 && isRequested) {
      this.#isFile = !isFileName(name);
      return name;
    }
    if (!isFileName(name))
      throw badField("entry", "the agent sent a name that a directory cannot have");
    return name;
  }
}
