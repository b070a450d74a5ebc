import { describe, expect, test } from "bun:test";
import {
  COST_FLOOR_BYTES,
  jsonExcess,
  LongString,
  MAX_JSON_DEPTH,
  parseJson,
} from "../../../src/json/bounded-json.ts";
import { decodeBase64Bytes, encodeBase64 } from "../../../src/protocols/agent/base64.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const parse = (text: string, options = {}) => parseJson("test", bytes(text), options);
const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);

describe("what may be parsed", () => {
  test.each([
    ['{"a":[1,2.5e3,"x",null,true,{"b":{}}]}'],
    [" \t\r\n[ ] "],
    ['"[[[["'],
    [`{"a":"${"[".repeat(100)}"}`],
    [`["\\"${"[".repeat(100)}"]`],
    [`["\\\\",${"[[]],".repeat(30)}1]`],
    [`["${"x".repeat(100)}\\"${"[".repeat(100)}"]`],
    [`["${"x".repeat(100)}\\\\","${"[".repeat(100)}"]`],
    [nested(MAX_JSON_DEPTH)],
    [`{"é":"${"ł".repeat(200)}"}`],
  ])("%p is what JSON.parse makes of it", (text) => {
    expect(parse(text)).toEqual(JSON.parse(text));
  });

  test("one level more is refused, of arrays, objects and both, in whole and cut texts", () => {
    const depth = MAX_JSON_DEPTH + 1;
    for (const text of [
      nested(depth),
      "[".repeat(depth),
      '{"a":'.repeat(depth),
      `${'[{"a":'.repeat(depth / 2)}[`,
      `["\\\\",${nested(depth - 1)}]`,
      `{"${"k".repeat(100)}\\"":1,"a":${nested(depth - 1)}}`,
    ]) {
      expect(() => parse(text)).toThrow(/nested more than 32 deep/);
    }
  });

  test("depth is that of open brackets, not their number", () => {
    expect(jsonExcess(bytes(`[${"[[]],".repeat(1000)}0]`))).toBeUndefined();
  });

  test("text that is not JSON, or not UTF-8, is refused", () => {
    for (const text of ["", "{", "[1,]", "]", "[}", "nonsense", '"\\x"', "1 2"]) {
      expect(() => parse(text)).toThrow(/not JSON in UTF-8/);
    }
    expect(() => parseJson("test", Uint8Array.of(0x22, 0xff, 0x22))).toThrow(/not JSON in UTF-8/);
  });

  test("a text above its limit is refused", () => {
    expect(parse("[1]", { maxBytes: 3 })).toEqual([1]);
    expect(() => parse("[1] ", { maxBytes: 3 })).toThrow(/more than 3 bytes/);
  });
});

describe("values that cost more than their text", () => {
  const repeated = (unit: string, times: number) => `[${unit.repeat(times)}0]`;
  const many = COST_FLOOR_BYTES / 16;

  test.each([
    ["empty arrays", repeated("[],", many / 4)],
    ["empty objects", repeated("{},", many / 4)],
    ["numbers", repeated("1,", many * 2)],
    ["words", repeated("null,", many * 4)],
    ["short strings", repeated('"a",', many / 2)],
    ["strings with escapes", repeated('"\\"",', many / 2)],
    [
      "objects that all differ",
      `[${Array.from({ length: many / 16 }, (_, index) => `{"${index}":1}`).join(",")}]`,
    ],
    [
      "names of one object",
      `{${Array.from({ length: many }, (_, index) => `"${index}":1`).join(",")}}`,
    ],
  ])("%s are refused", (_, text) => {
    expect(() => parse(text)).toThrow(/too many values/);
  });

  test.each([
    ["a command line of 60,000 words", JSON.stringify(Array.from({ length: 60_000 }, String))],
    [
      "an environment of 20,000 variables",
      JSON.stringify(
        Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`NAME_${index}`, "x"])),
      ),
    ],
    [
      "a directory of 100,000 files",
      JSON.stringify(
        Array.from({ length: 100_000 }, (_, index) => ({
          name: `${index}`,
          size: index,
          mode: 0o644,
          is_dir: false,
        })),
      ),
    ],
    ["equal objects", repeated('{"a":1,"b":2,"c":3,"d":4,"e":5},', 50_000)],
  ])("%s is parsed", (_, text) => {
    expect(parse(text)).toEqual(JSON.parse(text));
  });

  test("strings that the runtime keeps as UTF-16 count twice", () => {
    const strings = (first: string) => `["${first}",${`"${"x".repeat(50)}",`.repeat(240_000)}0]`;
    for (const narrow of ["a", "ÿ"]) expect(parse(strings(narrow))).toBeArray();
    for (const wide of ["\u0100", "€", "🙂"]) {
      expect(() => parse(strings(wide))).toThrow(/too many values/);
    }
    // Those that are left out of the text do not.
    const long = JSON.stringify({ a: "\u0100", b: "x".repeat(20 * 1024 * 1024) });
    expect(parse(long, { cutsLongStrings: true })).toMatchObject({ a: "\u0100" });
  });

  test("an excess of one text does not count for the next", () => {
    expect(() => parse(repeated("[],", many / 4))).toThrow();
    expect(parse(nested(MAX_JSON_DEPTH))).toBeArray();
    expect(() => parse("[".repeat(1000))).toThrow();
    expect(parse('["a"]')).toEqual(["a"]);
  });
});

describe("the cost of a text, to the byte", () => {
  const MIB = 1024 * 1024;
  /** What a text of a cost may and may not have as its length, reached with blanks after it. */
  function excessesAround(text: string, costBytes: number): [unknown, unknown] {
    const encoded = bytes(text);
    const fitting = Buffer.alloc((costBytes - COST_FLOOR_BYTES) / 2, " ");
    fitting.set(encoded);
    return [jsonExcess(fitting), jsonExcess(fitting.subarray(0, -1))];
  }
  const distinct = (count: number) =>
    Array.from({ length: count }, (_, index) => `{"${index}":1},`).join("");
  const names = (count: number) =>
    Array.from({ length: count }, (_, index) => `"${index}":1`).join(",");

  test.each([
    ["16 of a number", `[${"1,".repeat(700_000)}0]`, 112 + 16 * 700_001],
    ["16 of a word without brackets", "null,".repeat(1_500_000), 16 * 1_500_000],
    ["64 of a string", `[${'"",'.repeat(150_000)}0]`, 112 + 64 * 150_000 + 16],
    ["112 of an array", `[${"[],".repeat(80_000)}0]`, 112 + 112 * 80_000 + 16],
    ["400 of an object with other names", `[${distinct(20_000)}0]`, 112 + 512 * 20_000 + 16],
    [
      "400 of 64 names, and 64 of each beyond",
      `{${names(200_000)}}`,
      112 + 400 * 64 + 64 * 199_936,
    ],
    [
      "nothing for the names of an object like one of 16,384 others",
      `[${distinct(16_384)}${'{"16383":1},'.repeat(5000)}0]`,
      112 + 512 * 16_384 + 112 * 5000 + 16,
    ],
    [
      "400 for those of an object that comes after 16,384 others, every time",
      `[${distinct(16_384)}${'{"z":1},'.repeat(5000)}0]`,
      112 + 512 * 16_384 + 512 * 5000 + 16,
    ],
    ["the bytes of a wide string twice", `[${'"ĀĀ",'.repeat(170_000)}0]`, 112 + 72 * 170_000 + 16],
  ])("is %s", (_, text, costBytes) => {
    expect(excessesAround(text, costBytes)).toEqual([undefined, "too many values"]);
  });

  test("counts wide strings twice only in a text of more than 1 MiB", () => {
    const text = Buffer.alloc(MIB + 1, " ");
    text.write(`["Ā",${'"xxx",'.repeat(150_000)}0]`);
    expect(jsonExcess(text.subarray(0, MIB))).toBeUndefined();
    expect(jsonExcess(text)).toBe("too many values");
  });
});

describe("long strings", () => {
  const content = "A".repeat(1024 * 1024);
  const cut = (text: string) => parse(text, { cutsLongStrings: true }) as Record<string, unknown>;
  const textOf = (value: unknown) => (value instanceof LongString ? value.decode() : undefined);

  test("are views of the text, at the root only, and only on request", () => {
    const text = JSON.stringify({ a: 1, content, b: [content], ł: `é${content}`, c: "end" });
    const value = cut(text);
    expect(textOf(value["content"])).toBe(content);
    expect(textOf(value["ł"])).toBe(`é${content}`);
    expect(value["b"]).toEqual([content]);
    expect([value["a"], value["c"]]).toEqual([1, "end"]);
    expect(parse(text)).toEqual(JSON.parse(text));
  });

  test("stay strings if they have escapes, and in texts of at most 1 MiB", () => {
    const value = cut(JSON.stringify({ a: `${content}"`, b: `\\${content}`, c: "x" }));
    expect(value).toEqual({ a: `${content}"`, b: `\\${content}`, c: "x" });
    expect(cut(JSON.stringify({ a: content.slice(0, 1000_000) }))["a"]).toBeString();
  });

  test("are those of at least 64 KiB", () => {
    const value = cut(JSON.stringify({ a: content, b: "x".repeat(65_535), c: "x".repeat(65_536) }));
    expect(value["b"]).toBe("x".repeat(65_535));
    expect(textOf(value["c"])).toBe("x".repeat(65_536));
  });

  test("stay strings wherever the escape is", () => {
    for (const at of [0, 1, 30, 31, 32, 33, 64, content.length]) {
      for (const escaped of ['"', "\\", '\\"', "\n", '"\n"']) {
        const text = content.slice(0, at) + escaped + content.slice(at);
        expect(cut(JSON.stringify({ text })) as unknown).toEqual({ text });
      }
    }
  });

  test("are found in an object at the root, not in an array or below", () => {
    expect(cut(JSON.stringify([content])) as unknown).toEqual([content]);
    expect(cut(JSON.stringify([{ content }])) as unknown).toEqual([{ content }]);
    expect(cut(JSON.stringify({ a: { content } }))).toEqual({ a: { content } });
  });

  test("may not contain control characters, the blank is the first that is allowed", () => {
    const decoded = (text: string) => new LongString(bytes(text)).decode();
    expect([decoded("a\u001fb"), decoded("a\u0000b"), decoded("a b")]).toEqual([
      undefined,
      undefined,
      "a b",
    ]);
    expect(decoded("\uFEFFa")).toBe("\uFEFFa");
  });

  test("a name may be long, too", () => {
    expect(Object.keys(cut(JSON.stringify({ [content]: 1, a: content })))).toEqual([content, "a"]);
  });

  test("control characters and broken UTF-8 in them are refused", () => {
    expect(textOf(cut(`{"a":"${content}\n"}`)["a"])).toBeUndefined();
    const broken = Buffer.from(JSON.stringify({ a: content }));
    broken[100] = 0xff;
    const value = parseJson("test", broken, { cutsLongStrings: true }) as Record<string, unknown>;
    expect(textOf(value["a"])).toBeUndefined();
  });
});

describe("base64 in pieces", () => {
  test.each([0, 1, 2, 3, 196_607, 196_608, 196_609, 500_000])("%d bytes", (length) => {
    const content = Buffer.alloc(length, "vsock");
    expect(decodeBase64Bytes(bytes(encodeBase64(content)))).toEqual(new Uint8Array(content));
  });

  test("padding in the middle, blanks, other characters and odd lengths are refused", () => {
    const piece = "AAAA".repeat(65_536);
    expect(decodeBase64Bytes(bytes(`${piece}AAAA`))).toHaveLength(196_611);
    for (const text of [
      `${piece.slice(4)}AA==${piece}`,
      `    ${piece.slice(4)}${piece}`,
      `${piece}AA-_`,
      `${piece}AAA`,
      `${piece}====`,
    ]) {
      expect(decodeBase64Bytes(bytes(text))).toBeUndefined();
    }
  });
});
