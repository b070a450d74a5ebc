/**
 * Names that an agent answers, checked against what was asked. A guest may answer anything, and what it
 * answers is printed, copied, and becomes the name of files here: so a match has to match the pattern
 * that the user typed, an entry of a directory is one name, and neither comes without end.
 */
import { namesDirectory } from "../../files/bytes-path.ts";
import { pathMatcher } from "../../files/glob.ts";
import { bad, type JsonObject } from "../../protocols/agent/json-fields.ts";
import { isFileName, readPathField } from "../../protocols/agent/paths.ts";

/** Matches of one pattern that are accepted; an agent of ours sends no more. */
export const MAX_MATCHES = 100_000;

/** Bytes of all matches of one pattern that are accepted. */
export const MAX_MATCH_BYTES = 32 * 1024 * 1024;

/** Entries of one directory that are accepted. */
export const MAX_ENTRIES = 10_000_000;

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
   * The path of a match; undefined if it came before.
   *
   * @throws {VsockboxError} BAD_DATA for a path that the pattern does not match, or too many.
   */
  read(record: JsonObject): Uint8Array | undefined {
    const path = readPathField("match", record, "path");
    if (!this.#matches(path)) throw bad("match", "the agent named a file that was not asked for");
    const key = Buffer.from(path).toString("latin1");
    if (this.#seen.has(key)) return undefined;
    this.#bytes += path.length;
    if (this.#seen.size >= MAX_MATCHES || this.#bytes > MAX_MATCH_BYTES) {
      throw bad("match", "the agent sends more matches than it may");
    }
    this.#seen.add(key);
    return path;
  }
}

/** Checks the entries of one directory. */
export class CheckedEntries {
  readonly #asked: Uint8Array;
  readonly #maxEntries: number;
  #entries = 0;
  #isFile = false;

  /** @param asked the path whose entries they are. */
  constructor(asked: Uint8Array, maxEntries: number = MAX_ENTRIES) {
    this.#asked = asked;
    this.#maxEntries = maxEntries;
  }

  /**
   * The name in an entry: one component, or the whole path that was asked for if that is not a
   * directory, which is then the only entry.
   *
   * @throws {VsockboxError} BAD_DATA for any other name, or too many entries.
   */
  read(record: JsonObject): Uint8Array {
    const name = readPathField("entry", record, "name");
    if (this.#isFile || ++this.#entries > this.#maxEntries) {
      throw bad("entry", "the agent sends more entries than it may");
    }
    const isAsked = Buffer.compare(name, this.#asked) === 0 && !namesDirectory(name);
    if (this.#entries === 1 && isAsked) {
      this.#isFile = !isFileName(name);
      return name;
    }
    if (!isFileName(name)) throw bad("entry", "the agent sent a name that no directory can have");
    return name;
  }
}
