import { describe, expect, test } from "bun:test";
import { lastDiscardingIndex } from "../../../src/process/terminal-input.ts";

const ISIG = 1;
const NOFLSH = 0o200;
const bytes = (text: string) => Buffer.from(text, "latin1");

/** c_cc with the usual characters at VINTR, VQUIT and VSUSP, and others beside them. */
const characters = new Uint8Array(19).fill(0x7f);
characters.set([0x03, 0x1c], 0);
characters[10] = 0x1a;

describe("lastDiscardingIndex", () => {
  test.each(["\u0003", "\u001c", "\u001a"])("finds the last %j", (key) => {
    const settings = { local: ISIG, characters };
    expect(lastDiscardingIndex(bytes(`ab${key}c${key}de`), settings)).toBe(4);
    expect(lastDiscardingIndex(bytes(key), settings)).toBe(0);
  });

  test("finds nothing else", () => {
    const text = bytes("ab\u0000\u0004\u007f");
    expect(lastDiscardingIndex(text, { local: ISIG, characters })).toBe(-1);
  });

  test("finds nothing if characters do not send signals, or a signal keeps the typed text", () => {
    for (const local of [0, 0o2, ISIG | NOFLSH]) {
      expect(lastDiscardingIndex(bytes("a\u0003"), { local, characters })).toBe(-1);
    }
  });

  test("uses the terminal's own characters, and none that is disabled", () => {
    const own = Uint8Array.from(characters);
    own[0] = 0;
    own[1] = 0x78;
    const settings = { local: ISIG, characters: own };
    expect(lastDiscardingIndex(bytes("\u0000\u0003"), settings)).toBe(-1);
    expect(lastDiscardingIndex(bytes("abxc"), settings)).toBe(2);
  });
});
