import { describe, expect, test } from "bun:test";
import { printable, printableBytes, printableJson } from "../../../src/text/printable.ts";

/** Text, and how it is shown: forged lines, terminal sequences, bidirectional and hidden characters. */
const SHOWN: readonly [text: string, shown: string][] = [
  ["plain text, ünïcödé, 漢字, 🙂, ❤️", "plain text, ünïcödé, 漢字, 🙂, ❤️"],
  ["a\nvsockbox: all is well", "a\\nvsockbox: all is well"],
  ["a\r\n  hint: run this", "a\\r\\n  hint: run this"],
  ["a\tb", "a\\tb"],
  ["\u0000\u0007\u001B]0;x\u007F", "\\x00\\x07\\x1b]0;x\\x7f"],
  ["\u0080\u0085\u009B31m\u009F", "\\x80\\x85\\x9b31m\\x9f"],
  ["\u202Egpj.exe", "\\u{202e}gpj.exe"],
  ["\u2066a\u2069\u061C\u200F", "\\u{2066}a\\u{2069}\\u{61c}\\u{200f}"],
  ["a\u200Bb\u200Dc\uFEFFd\u00ADe\u2060", "a\\u{200b}b\\u{200d}c\\u{feff}d\\xade\\u{2060}"],
  ["a\u2028b\u2029c", "a\\u{2028}b\\u{2029}c"],
  ["\u{E0041}\u3164\uFFA0", "\\u{e0041}\\u{3164}\\u{ffa0}"],
  ["\uD800x\uDC00", "\\u{d800}x\\u{dc00}"],
];

describe("printable", () => {
  test.each(SHOWN)("%j", (text, shown) => {
    expect(printable(text)).toBe(shown);
    expect(printable(shown)).toBe(shown);
  });

  test("a tab may stay, nothing else", () => {
    expect(printable("a\tb\n", { keepsTabs: true })).toBe("a\tb\\n");
  });

  test("a long text is cut, with the number of the other characters", () => {
    expect(printable("x".repeat(2000))).toBe("x".repeat(2000));
    expect(printable("x".repeat(2001))).toBe(`${"x".repeat(1960)}… (41 characters more)`);
    expect(printable("a\nb", { maxCharacters: 2 })).toBe("… (3 characters more)");
    expect(printable("\x01".repeat(30), { maxCharacters: 60 })).toBe(
      `${"\\x01".repeat(5)}… (25 characters more)`,
    );
  });

  test.each(["x".repeat(5000), "\u{e0001}".repeat(700), "\n".repeat(1999), "\x01".repeat(501)])(
    "what passes through twice stays as it is",
    (text) => {
      const once = printable(text);
      expect(once.length).toBeLessThanOrEqual(2000);
      expect(printable(once)).toBe(once);
    },
  );

  test("a text that is not cut has no ending", () => {
    expect(printable("\x01".repeat(500))).toBe("\\x01".repeat(500));
  });
});

describe("printableBytes", () => {
  test.each(SHOWN.slice(0, -1))("%j in UTF-8", (text, shown) => {
    expect(printableBytes(Buffer.from(text))).toBe(shown);
    const broken = Buffer.concat([Buffer.from([0xff]), Buffer.from(text), Buffer.from([0xc3])]);
    expect(printableBytes(broken)).toBe(`\\xff${shown}\\xc3`);
  });

  test("different bytes that are not UTF-8 look different", () => {
    for (const [bytes, shown] of [
      [[0x61, 0xfe, 0x62], "a\\xfeb"],
      [[0xc0, 0x80], "\\xc0\\x80"],
      [[0xed, 0xa0, 0x80], "\\xed\\xa0\\x80"],
      [[0xe2, 0x82], "\\xe2\\x82"],
      [[0xf4, 0x90, 0x80, 0x80], "\\xf4\\x90\\x80\\x80"],
      [[0xff, 0xe2, 0x82, 0xac], "\\xff€"],
      [[0xff, 0xf0, 0x9f, 0x99, 0x82], "\\xff🙂"],
    ] as const) {
      expect(printableBytes(Uint8Array.from(bytes))).toBe(shown);
    }
  });

  test("characters of four bytes from every plane stay beside bytes that are not UTF-8", () => {
    for (const character of ["\u{10000}", "\u{3ffff}", "\u{40000}", "\u{fffff}", "\u{10ffff}"]) {
      expect(printableBytes(Buffer.concat([Buffer.from(`a${character}b`), Buffer.of(0xff)]))).toBe(
        `a${character}b\\xff`,
      );
    }
  });

  test("a byte order mark is a character of the name", () => {
    expect(printableBytes(Buffer.from("\uFEFFa"))).toBe("\\u{feff}a");
    expect(printableBytes(Buffer.from("\uFEFF"))).toBe("\\u{feff}");
  });

  test("a name of any length is whole", () => {
    expect(printableBytes(Buffer.alloc(4000, "n"))).toHaveLength(4000);
  });
});

test("printableJson is the same value, on one line, in characters that are safe to show", () => {
  for (const [text, shown] of SHOWN) {
    const value = { [text]: [text] };
    const json = printableJson(value);
    expect(JSON.parse(json)).toEqual(value);
    expect(printable(json)).toBe(json);
    if (text === shown) expect(json).toBe(JSON.stringify(value));
  }
  expect(printableJson("\u007F\u0085\u202E\u{E0041}")).toBe(
    '"\\u007f\\u0085\\u202e\\udb40\\udc41"',
  );
});
