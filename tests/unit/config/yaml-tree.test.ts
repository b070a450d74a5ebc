import { describe, expect, test } from "bun:test";
import {
  entryOf,
  MAX_MERGED_ENTRIES,
  MAX_YAML_LENGTH,
  parseYamlTree,
  repeatedEntry,
  type YamlMap,
  type YamlNode,
} from "../../../src/config/yaml-tree.ts";
import { VsockboxError } from "../../../src/errors.ts";

const parse = (...lines: string[]) =>
  parseYamlTree(
    lines.join("\n"),
    (message, line) =>
      new VsockboxError({ code: "CONFIG", operation: "read", message: `${line}: ${message}` }),
  );

function mapOf(node: YamlNode): YamlMap {
  if (node.kind !== "map") throw new Error(`it is a ${node.kind}`);
  return node;
}

/** Values alone, as JSON has them. */
function plain(node: YamlNode): unknown {
  if (node.kind === "list") return node.items.map(plain);
  if (node.kind === "scalar") return node.value;
  return Object.fromEntries(node.entries.map(({ key, value }) => [key, plain(value)]));
}

/** The keys of a map with their lines, and those of the maps in it. */
function keyLines(node: YamlNode): unknown[] {
  if (node.kind === "list") return node.items.map(keyLines);
  if (node.kind === "scalar") return [];
  return node.entries.flatMap(({ key, line, value }) => [`${key} ${line}`, ...keyLines(value)]);
}

describe("a YAML text", () => {
  test("becomes maps, lists and scalars", () => {
    expect(plain(parse("a: 1", "b: [x, 'y', true, ~, 1.5]", "c:", "  d: {}"))).toEqual({
      a: 1,
      b: ["x", "y", true, null, 1.5],
      c: { d: {} },
    });
    expect(plain(parse('{"a": [1, {"b": null}]}'))).toEqual({ a: [1, { b: null }] });
  });

  test("without content is null in line 1", () => {
    for (const text of ["", "# none", "\n\n", "---"]) {
      expect(parse(text)).toMatchObject({ kind: "scalar", value: null, line: 1 });
    }
  });

  test("has the lines of its keys and values in all styles, with comments and both line ends", () => {
    const tree = parse("# c", "vms:", "  - a: 1", "    b: 2", "", "  - {c: 3,", "     d: 4}", "e:");
    expect(keyLines(tree)).toEqual(["vms 2", ["a 3", "b 4"], ["c 6", "d 7"], "e 8"]);
    expect(keyLines(parse("'a' :   # x\r\n\r\n  \"b\": 1\r"))).toEqual(["a 1", "b 3"]);
    const list = entryOf(mapOf(tree), "vms")?.value;
    expect(list).toMatchObject({ kind: "list", line: 3, items: [{ line: 3 }, { line: 6 }] });
  });

  test("keeps what the file contains in place of a number", () => {
    for (const source of ["0644", "0o644", "0x1F", "1.50", "-3", "1e3"]) {
      const value = entryOf(mapOf(parse(`a: ${source}`)), "a")?.value;
      expect(value).toMatchObject({ source, value: Number(source) });
    }
    expect(parse('"0644"')).toMatchObject({ source: "0644", value: "0644" });
  });

  test("keeps keys that appear twice, in the order of the text", () => {
    const map = mapOf(parse("a-b: 1", "c: 2", "a_b: 3", "c: 4", "c: 5"));
    expect(map.entries.map(({ key }) => key)).toEqual(["a-b", "c", "a_b", "c", "c"]);
    expect(repeatedEntry(map)).toMatchObject({ key: "c", line: 4 });
    expect(repeatedEntry(map, (key) => key.replace("_", "-"))).toMatchObject({ line: 3 });
    expect(repeatedEntry(mapOf(parse("a: 1", "b: {a: 2}")))).toBeUndefined();
    expect(entryOf(map, "c")).toMatchObject({ line: 2 });
    expect(entryOf(map, "d")).toBeUndefined();
  });
});

describe("anchors of a YAML text", () => {
  test("are resolved at their use, also if they are set again", () => {
    const tree = parse("a: &x 1", "b: *x", "c: &x [2]", "d: *x");
    expect(plain(tree)).toEqual({ a: 1, b: 1, c: [2], d: [2] });
  });

  test("are shared and never expanded", () => {
    const levels = Array.from({ length: 200 }, (_, index) =>
      index === 0 ? "a0: &a0 [x, x]" : `a${index}: &a${index} [*a${index - 1}, *a${index - 1}]`,
    );
    const { entries } = mapOf(parse(...levels));
    const last = entries.at(-1)?.value;
    expect(last?.kind === "list" && last.items[0] === last.items[1]).toBe(true);
    expect(last?.kind === "list" && last.items[0] === entries.at(-2)?.value).toBe(true);
  });

  test("add the keys of their maps by <<, unless the map has them", () => {
    const tree = parse(
      "a: &a {x: 1, y: 2}",
      "b: &b {y: 3, z: 4}",
      "c: {<<: *a, x: 5}",
      "d:",
      "  <<: [*a, *b]",
      'e: {"<<": 6}',
    );
    expect(plain(tree)).toMatchObject({
      c: { x: 5, y: 2 },
      d: { x: 1, y: 2, z: 4 },
      e: { "<<": 6 },
    });
    expect(keyLines(tree)).toContain("z 2");
    expect(repeatedEntry(mapOf(entryOf(mapOf(tree), "d")?.value ?? tree))).toBeUndefined();
  });

  test.each([
    ["a: *b", "1: it is not YAML: the alias *b has no anchor before it"],
    ["a: 1\nb: &b [*b]", "2: it is not YAML: the alias *b has no anchor before it"],
    ["a: 1\nb:\n  <<: 3", "3: it is not YAML: << requires a map or a list of maps"],
    ["a: {<<: [3]}", "1: it is not YAML: << requires a map"],
  ])("are refused in %j", (text, message) => {
    expect(() => parse(text)).toThrow(message);
  });

  test("add a limited number of keys by << in all", () => {
    const keys = Array.from({ length: 1000 }, (_, index) => `k${index}: 1`).join(", ");
    const text = (count: number) => [`a: &a {${keys}}`, ...merges(count)];
    const merges = (count: number) =>
      Array.from({ length: count }, (_, index) => `m${index}: {<<: *a}`);
    expect(parse(...text(MAX_MERGED_ENTRIES / 1000)).kind).toBe("map");
    expect(() => parse(...text(MAX_MERGED_ENTRIES / 1000 + 1))).toThrow(
      `${MAX_MERGED_ENTRIES / 1000 + 2}: its << add more than 100000 keys`,
    );
  });
});

describe("a text that is not YAML", () => {
  test.each([
    ["a: {", "1: it is not YAML: "],
    ["a: 1\nb: [1\nc: 2\n", "3: it is not YAML: "],
    ["a:\n\tb: 1", "2: it is not YAML: "],
    ["a: 1\n--- 2\n", "2: it is not YAML: "],
    ["a: 1\n[b]: 2\n", "2: it is not YAML: "],
  ])("is refused with its line: %j", (text, message) => {
    expect(() => parse(text)).toThrow(message);
  });

  test("is refused if it is too long or nested too deeply, in linear time", () => {
    expect(parse(" ".repeat(MAX_YAML_LENGTH)).kind).toBe("scalar");
    expect(() => parse(" ".repeat(MAX_YAML_LENGTH + 1))).toThrow("it is longer than 1048576");
    for (const part of ["[", "- ", "{a: ", "? "]) {
      expect(() => parse(part.repeat(50_000))).toThrow("nested too deeply");
    }
  });
});
