import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  modesOf,
  rawSettings,
  readModes,
  type TerminalSettings,
  withModes,
} from "../../../../src/protocols/terminal/modes.ts";

const NCCS = 19;

/** Opcodes of RFC 4254, section 8, with the bits of asm-generic/termbits.h: `stty -a` of Linux. */
const INPUT: Record<number, number> = {
  30: 0x4,
  31: 0x8,
  32: 0x10,
  33: 0x20,
  34: 0x40,
  35: 0x80,
  36: 0x100,
  37: 0x200,
  38: 0x400,
  39: 0x800,
  40: 0x1000,
  41: 0x2000,
  42: 0x4000,
};
const LOCAL: Record<number, number> = {
  50: 0x1,
  51: 0x2,
  52: 0x4,
  53: 0x8,
  54: 0x10,
  55: 0x20,
  56: 0x40,
  57: 0x80,
  58: 0x100,
  59: 0x8000,
  60: 0x200,
  61: 0x800,
  62: 0x4000,
};
const OUTPUT: Record<number, number> = { 70: 0x1, 71: 0x2, 72: 0x4, 73: 0x8, 74: 0x10, 75: 0x20 };
const CHARACTERS: Record<number, number> = {
  ...{ 1: 0, 2: 1, 3: 2, 4: 3, 5: 4, 6: 11, 7: 16, 8: 8, 9: 9, 10: 10 },
  ...{ 12: 12, 13: 14, 14: 15, 16: 7, 18: 13 },
};

const settings = (changes: Partial<TerminalSettings> = {}): TerminalSettings => ({
  input: 0,
  output: 0,
  local: 0,
  characters: new Uint8Array(NCCS),
  ...changes,
});

const FIELDS = [
  ["input", INPUT],
  ["local", LOCAL],
  ["output", OUTPUT],
] as const;

describe.each(FIELDS)("flags of %s", (field, table) => {
  test.each(Object.entries(table))("opcode %s is bit %i, both ways", (opcode, bit) => {
    const modes = new Map(
      modesOf(settings({ [field]: bit })).map(([code, value]) => [code, value]),
    );
    expect(modes.get(Number(opcode))).toBe(1);
    expect([...modes].filter(([code, value]) => code >= 30 && value === 1)).toHaveLength(1);
    expect(withModes(settings(), [[Number(opcode), 7]])).toEqual(settings({ [field]: bit }));
    const all = settings({ input: 0xffff, output: 0xffff, local: 0xffff });
    expect(withModes(all, [[Number(opcode), 0]])).toEqual({ ...all, [field]: 0xffff & ~bit });
  });
});

test.each(Object.entries(CHARACTERS))("opcode %s is character %i, both ways", (opcode, index) => {
  const characters = new Uint8Array(NCCS);
  characters[index] = 0x1c;
  const modes = modesOf(settings({ characters }));
  expect(modes.find(([code]) => code === Number(opcode))).toEqual([Number(opcode), 0x1c]);
  expect(modes.filter(([code, value]) => code < 30 && value !== 255)).toHaveLength(1);
  expect(withModes(settings(), [[Number(opcode), 0x1c]])).toEqual(settings({ characters }));
  expect(withModes(settings({ characters }), [[Number(opcode), 255]])).toEqual(settings());
});

test("what one terminal has another one gets, but for what has no opcode", () => {
  const any = fc.record({
    input: fc.integer({ min: 0, max: 0x7fff }),
    output: fc.integer({ min: 0, max: 0xffff }),
    local: fc.integer({ min: 0, max: 0xffff }),
    characters: fc.uint8Array({ minLength: NCCS, maxLength: NCCS }),
  });
  fc.assert(
    fc.property(any, any, (from, to) => {
      const got = withModes(to, modesOf(from));
      const pick = (table: Record<number, number>) =>
        Object.values(table).reduce((mask, bit) => mask | bit, 0);
      for (const [field, table] of FIELDS) {
        const mask = pick(table);
        expect(got[field]).toBe((from[field] & mask) | (to[field] & ~mask));
      }
      for (let index = 0; index < NCCS; index++) {
        const isSent = Object.values(CHARACTERS).includes(index);
        // 255 means "none" on the way.
        const value = from.characters[index] === 255 ? 0 : from.characters[index];
        expect(got.characters[index]).toBe(isSent ? value : to.characters[index]);
      }
    }),
  );
});

test("unknown opcodes have no effect, and the argument stays as it is", () => {
  const before = settings();
  const modes = [
    [0, 9],
    [11, 9],
    [90, 1],
    [128, 38_400],
    [200, 1],
    [1, 3],
  ] as const;
  expect(withModes(before, modes).characters[0]).toBe(3);
  expect(before).toEqual(settings());
});

test("raw settings are those of cfmakeraw(3): `stty raw -echo`", () => {
  // Before and after, as a terminal of Linux shows them.
  const cooked = settings({ input: 0x4500 | 0x2000, output: 0x5, local: 0x8a3b });
  const raw = rawSettings({ ...cooked, input: 0x7fff, local: 0xffff, output: 0xff });
  expect(raw.input).toBe(0x7fff & ~0x5eb);
  expect(raw.output).toBe(0xfe);
  expect(raw.local).toBe(0xffff & ~0x804b);
  expect([raw.characters[6], raw.characters[5]]).toEqual([1, 0]);
  expect(cooked.characters[6]).toBe(0);
});

describe("modes in JSON", () => {
  test.each([[undefined], [null]])("%p is not a sequence", (value) => {
    expect(readModes("request", value)).toBeUndefined();
  });

  test("a list of pairs is read as it is", () => {
    const pairs = modesOf(settings());
    expect(readModes("request", JSON.parse(JSON.stringify(pairs)))).toEqual(pairs);
    expect(readModes("request", [])).toEqual([]);
  });

  test.each([
    [5],
    ["x"],
    [{}],
    [[5]],
    [[[1]]],
    [[[1, 2, 3]]],
    [[[1, "2"]]],
    [[[1, -1]]],
    [[[1.5, 1]]],
    [[[1, 0x1_0000_0000]]],
    [Array.from({ length: 161 }, () => [1, 1])],
  ])("%j is refused", (value) => {
    expect(() => readModes("request", value)).toThrow("modes is not a list");
  });
});
