/**
 * YAML texts as trees of values with their lines, for configuration files.
 *
 * The `yaml` package parses the text (YAML 1.2, core schema). Its nodes become the smaller ones of this
 * file, which keep what errors and modes need: the line of each key and value, keys that appear twice,
 * and the source text of a scalar (0644 is the number 644 in YAML 1.2).
 *
 * The cost is bounded by the size of the text: an alias shares the node of its anchor and is never
 * expanded, and merge keys (`<<: *defaults`) may add {@link MAX_MERGED_ENTRIES} entries in all.
 */
import type * as Yaml from "yaml";
import { VsockboxError } from "../errors.ts";

/** Longest accepted text, in UTF-16 units: some ten thousand VMs, and about two seconds at the worst. */
export const MAX_YAML_LENGTH = 1024 * 1024;

/** Most entries that the merge keys of one text may add. */
export const MAX_MERGED_ENTRIES = 100_000;

/** A value of a YAML text. Nodes of aliases are shared, so a tree may have a node in several places. */
export type YamlNode = YamlMap | YamlList | YamlScalar;

/** A map. */
export interface YamlMap {
  readonly kind: "map";
  /** The line, from 1, in which it begins. */
  readonly line: number;
  /** Its entries in their order; a key of a text with that mistake appears twice. */
  readonly entries: readonly YamlEntry[];
}

/** A key of a map, with its value. */
export interface YamlEntry {
  readonly key: string;
  /** The key's line, from 1. */
  readonly line: number;
  readonly value: YamlNode;
}

/** A list. */
export interface YamlList {
  readonly kind: "list";
  /** The line, from 1, in which it begins. */
  readonly line: number;
  readonly items: readonly YamlNode[];
}

/** A text, number, boolean or null. */
export interface YamlScalar {
  readonly kind: "scalar";
  /** Its line, from 1. */
  readonly line: number;
  readonly value: string | number | boolean | null;
  /** What the file contains in its place, without quotes: `0644` for the number 644. */
  readonly source: string;
}

/** Creates the error for a mistake in a line of the text, or in none in particular. */
export type YamlFailure = (message: string, line?: number) => VsockboxError;

/**
 * Returns the tree of a YAML (or JSON) text of one document; an empty text is a null scalar.
 *
 * @throws {VsockboxError} the error that `failure` creates, for a text that is not YAML or too long.
 */
export function parseYamlTree(text: string, failure: YamlFailure): YamlNode {
  if (text.length > MAX_YAML_LENGTH) {
    throw failure(`it is longer than ${MAX_YAML_LENGTH} characters`);
  }
  // Most commands import this file and read no YAML: they do not pay for the parser.
  const yaml: typeof Yaml = require("yaml");
  const lineCounter = new yaml.LineCounter();
  const document = yaml.parseDocument(text, {
    lineCounter,
    stringKeys: true,
    resolveKnownTags: false,
    logLevel: "error",
    // Errors are ours to format, and the check of the keys takes quadratic time.
    prettyErrors: false,
    uniqueKeys: false,
  });
  const lineAt = (offset: number) => lineCounter.linePos(offset).line || 1;
  const tooDeep = document.errors.find(({ code }) => code === "RESOURCE_EXHAUSTION");
  if (tooDeep !== undefined) throw failure(TOO_DEEP, lineAt(tooDeep.pos[0]));
  const [error] = document.errors;
  if (error !== undefined) {
    throw failure(`it is not YAML: ${error.message}`, lineAt(error.pos[0]));
  }
  try {
    return new TreeBuilder(yaml, lineAt, failure).build(document.contents, 1);
  } catch (thrown) {
    // The stack, which this function uses once for each level of the text.
    throw thrown instanceof RangeError ? failure(TOO_DEEP) : thrown;
  }
}

const TOO_DEEP = "its values are nested too deeply";

/** Returns the first entry with that key. */
export function entryOf(map: YamlMap, key: string): YamlEntry | undefined {
  return map.entries.find((entry) => entry.key === key);
}

/** Returns the first entry whose key another entry had before it, in the form that `normalized` returns. */
export function repeatedEntry(
  map: YamlMap,
  normalized: (key: string) => string = (key) => key,
): YamlEntry | undefined {
  const seen = new Set<string>();
  return map.entries.find(({ key }) => seen.size === seen.add(normalized(key)).size);
}

/** Makes nodes of the parser's nodes, in the order of the text. */
class TreeBuilder {
  readonly #yaml: typeof Yaml;
  readonly #lineAt: (offset: number) => number;
  readonly #failure: YamlFailure;
  /** The nodes of the anchors so far; an anchor may be set again. */
  readonly #anchors = new Map<string, YamlNode>();
  #mergedCount = 0;

  constructor(yaml: typeof Yaml, lineAt: (offset: number) => number, failure: YamlFailure) {
    this.#yaml = yaml;
    this.#lineAt = lineAt;
    this.#failure = failure;
  }

  /** @param line for a value that the text leaves out. */
  build(node: unknown, line: number): YamlNode {
    const { isAlias, isMap, isSeq, isScalar } = this.#yaml;
    if (isAlias(node)) return this.#aliased(node.source, this.#lineOf(node, line));
    let built: YamlNode;
    if (isMap(node)) built = this.#map(node, this.#lineOf(node, line));
    else if (isSeq(node)) {
      const own = this.#lineOf(node, line);
      built = { kind: "list", line: own, items: node.items.map((item) => this.build(item, own)) };
    } else if (isScalar(node)) built = scalar(node, this.#lineOf(node, line));
    else return { kind: "scalar", line, value: null, source: "" };
    // Only now: a node cannot contain itself.
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, built);
    return built;
  }

  #lineOf(node: { range?: Yaml.Range | null | undefined }, line: number): number {
    return node.range ? this.#lineAt(node.range[0]) : line;
  }

  #aliased(name: string, line: number): YamlNode {
    const anchored = this.#anchors.get(name);
    if (anchored !== undefined) return anchored;
    throw this.#failure(`it is not YAML: the alias *${name} has no anchor before it`, line);
  }

  #map(map: Yaml.YAMLMap, line: number): YamlMap {
    const own: YamlEntry[] = [];
    const merged: YamlEntry[] = [];
    for (const { key, value } of map.items) {
      const isNode = this.#yaml.isScalar(key);
      const keyLine = isNode ? this.#lineOf(key, line) : line;
      const name = String(isNode ? key.value : key);
      const built = this.build(value, keyLine);
      const isMerge = isNode && name === "<<" && key.type === "PLAIN";
      if (isMerge) merged.push(...this.#mergedEntries(built, keyLine));
      else own.push({ key: name, line: keyLine, value: built });
    }
    return { kind: "map", line, entries: merged.length === 0 ? own : unite(own, merged) };
  }

  /** Returns the entries that a merge key adds: those of a map, or of each map of a list. */
  #mergedEntries(node: YamlNode, line: number): readonly YamlEntry[] {
    const maps = node.kind === "list" ? node.items : [node];
    return maps.flatMap((map) => {
      if (map.kind !== "map") {
        throw this.#failure("it is not YAML: << requires a map or a list of maps", line);
      }
      this.#mergedCount += map.entries.length;
      if (this.#mergedCount <= MAX_MERGED_ENTRIES) return map.entries;
      throw this.#failure(`its << add more than ${MAX_MERGED_ENTRIES} keys`, line);
    });
  }
}

/** Returns a map's own entries, and those merged ones whose key no other has: the first one counts. */
function unite(own: readonly YamlEntry[], merged: readonly YamlEntry[]): YamlEntry[] {
  const keys = new Set(own.map(({ key }) => key));
  return [...own, ...merged.filter(({ key }) => keys.size < keys.add(key).size)];
}

function scalar(node: Yaml.Scalar, line: number): YamlScalar {
  const { value } = node;
  const isPlainValue =
    typeof value === "string" ||
    typeof value === "number" ||
    typeof value === "boolean" ||
    value === null;
  const own = isPlainValue ? value : String(value);
  return { kind: "scalar", line, value: own, source: node.source ?? String(own) };
}
