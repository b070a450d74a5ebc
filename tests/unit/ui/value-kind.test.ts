import { describe, expect, test } from "bun:test";
import {
  anyWord,
  choice,
  DIRECTORY,
  DURATION,
  FILE,
  FILE_OR_NONE,
  integer,
  SIZE,
  durationOfAtLeast,
  sizeBetween,
  type ValueKind,
  word,
} from "../../../src/ui/value-kind.ts";

const KINDS: [string, ValueKind<unknown>, [string, unknown][], string[]][] = [
  ["word", word("X"), [["a b", "a b"]], [""]],
  [
    "anyWord",
    anyWord("X"),
    [
      ["", ""],
      ["a", "a"],
    ],
    [],
  ],
  ["FILE", FILE, [["/x", "/x"]], [""]],
  ["FILE_OR_NONE", FILE_OR_NONE, [["", ""]], []],
  ["DIRECTORY", DIRECTORY, [["/x", "/x"]], [""]],
  [
    "DURATION",
    DURATION,
    [
      ["10", 10_000],
      ["1.5s", 1500],
      ["500ms", 500],
      ["2m", 120_000],
      ["0", 0],
    ],
    ["", "x", "-1", "1d"],
  ],
  [
    "durationOfAtLeast",
    durationOfAtLeast(100),
    [
      ["100ms", 100],
      ["2", 2000],
    ],
    ["99ms", "0", "x", ""],
  ],
  [
    "SIZE",
    SIZE,
    [
      ["4096", 4096],
      ["64KiB", 65_536],
      ["1.5 GiB", 1.5 * 2 ** 30],
    ],
    ["", "1MB", "-1"],
  ],
  [
    "sizeBetween",
    sizeBetween(1024, 4096),
    [
      ["1024", 1024],
      ["4KiB", 4096],
    ],
    ["1023", "4097", "x"],
  ],
  [
    "integer",
    integer(1, 9),
    [
      ["1", 1],
      ["9", 9],
    ],
    ["0", "10", "", "1.0", "0x1"],
  ],
  [
    "choice",
    choice(["a", "b"]),
    [
      ["a", "a"],
      ["b", "b"],
    ],
    ["", "c", "A"],
  ],
];

describe.each(KINDS)("%s", (_name, kind, good, bad) => {
  test("reads its values, and writes them so that it reads them again", () => {
    for (const [given, value] of good) {
      expect(kind.parse(given)).toEqual(value);
      expect(kind.parse(kind.format(value))).toEqual(value);
    }
  });

  test("refuses all others", () => {
    for (const given of bad) expect([given, kind.parse(given)]).toEqual([given, undefined]);
  });
});

test("each kind names what it expects", () => {
  expect(integer(1, 9).expected).toBe("a whole number from 1 to 9");
  expect(integer(2).expected).toBe("a whole number from 2 to 9007199254740991");
  expect(choice(["a", "b", "c"]).expected).toBe("a, b or c");
  expect(choice(["a"]).expected).toBe("a");
  expect(choice(["a", "b"]).valueName).toBe("a|b");
  expect(sizeBetween(1, 65_536).expected).toBe("a size from 1 to 64 KiB, such as 65536 or 64KiB");
  expect([FILE.completes, DIRECTORY.completes, DURATION.completes]).toEqual([
    "file",
    "directory",
    undefined,
  ]);
  expect([10_000, 500, 120_000, 7_200_000, 0].map(DURATION.format)).toEqual([
    "10s",
    "500ms",
    "2m",
    "2h",
    "0",
  ]);
});

test("a kind whose expectation does not name the maximum has it for a text above it alone", () => {
  const exceeded = (kind: ValueKind<unknown>, ...texts: string[]) =>
    texts.map((text) => kind.exceeded?.(text));
  expect(exceeded(DURATION, "596h", "597h", "2147483648ms", "x", "")).toEqual([
    undefined,
    "596h",
    "596h",
    undefined,
    undefined,
  ]);
  expect(exceeded(SIZE, "8191TiB", "8192TiB", "1e9", "")).toEqual([
    undefined,
    "8191TiB",
    undefined,
    undefined,
  ]);
  expect(exceeded(sizeBetween(1, 2), "8192TiB")).toEqual([undefined]);
  expect([DURATION.parse("596h"), SIZE.parse("8191TiB")]).not.toContain(undefined);
});
