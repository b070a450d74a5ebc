import { describe, expect, test } from "bun:test";
import { MemoryBudget } from "../../../../src/agent/channel/memory-budget.ts";
import { OutputLog } from "../../../../src/agent/server/output-log.ts";

const bytes = (text: string) => Buffer.from(text);

/** All that a reader gets from an offset on, with the offsets where pieces begin. */
function readAll(log: OutputLog, from: number): { text: string; begin: number | undefined } {
  let text = "";
  let begin: number | undefined;
  for (let offset = from; ;) {
    const piece = log.read(offset);
    if (piece === undefined) return { text, begin };
    begin ??= piece.offset;
    text += `${piece.stream}:${Buffer.from(piece.bytes).toString()} `;
    offset = piece.offset + piece.bytes.length;
  }
}

describe("OutputLog", () => {
  test("returns every byte by its offset, streams apart", () => {
    const log = new OutputLog(1000);
    log.append(1, bytes("abc"));
    log.append(1, bytes("def"));
    log.append(2, bytes("err"));
    log.append(1, bytes("g"));
    expect([log.begin, log.end]).toEqual([0, 10]);
    expect(readAll(log, 0).text).toBe("1:abcdef 2:err 1:g ");
    expect(readAll(log, 4).text).toBe("1:ef 2:err 1:g ");
    expect(readAll(log, 10).text).toBe("");
    expect(readAll(log, 99).text).toBe("");
  });

  test("keeps the last bytes exactly, whatever the pieces", () => {
    for (const size of [1, 7, 4096, 5000, 100_000]) {
      const log = new OutputLog(10_000);
      let whole = "";
      for (let index = 0; whole.length < 60_000; index++) {
        const piece = String(index % 10).repeat(size);
        whole += piece;
        log.append(1, bytes(piece));
      }
      expect([log.end - log.begin, log.end]).toEqual([10_000, whole.length]);
      const { text, begin } = readAll(log, 0);
      expect(begin).toBe(whole.length - 10_000);
      expect(text.replaceAll(/ ?1:/g, "").trim()).toBe(whole.slice(-10_000));
    }
  });

  test("wakes a reader that waits for more", async () => {
    const log = new OutputLog(10);
    const { changed } = log;
    log.append(1, bytes("x"));
    await changed;
    const ended = log.changed;
    log.finish();
    await ended;
  });

  test("of tiny pieces holds at most twice its limit in memory, and counts the dropped bytes", () => {
    const log = new OutputLog(100_000);
    for (let index = 0; index < 50_000; index++) log.append(index % 2 === 0 ? 1 : 2, bytes("x"));
    expect(log.heldBytes).toBeLessThan(201_000);
    expect([log.begin > 0, log.end]).toEqual([true, 50_000]);
    expect(log.read(0)?.offset).toBe(log.begin);
  });

  test("shares a budget: all get about the same, and the oldest goes first", () => {
    const budget = new MemoryBudget(1_000_000);
    const logs = Array.from({ length: 9 }, () => new OutputLog(500_000, budget));
    for (const [index, log] of logs.entries()) {
      for (let count = 0; count < 500; count++) log.append(1, Buffer.alloc(5000, index));
    }
    const kept = logs.map((log) => log.end - log.begin);
    expect(budget.usedBytes).toBeLessThanOrEqual(1_000_000);
    expect(budget.usedBytes).toBe(logs.reduce((sum, log) => sum + log.heldBytes, 0));
    for (const bytesKept of kept) expect(bytesKept).toBeGreaterThan(50_000);
    for (const log of logs) expect(log.end).toBe(2_500_000);
    for (const log of logs) log.discard();
    expect(budget.usedBytes).toBe(0);
  });

  test("shrinks for a session that needs the memory", () => {
    const budget = new MemoryBudget(1_000_000);
    const log = new OutputLog(500_000, budget);
    log.append(1, Buffer.alloc(100_000));
    log.append(1, Buffer.alloc(300_000));
    const session = budget.share();
    expect(session.resize(400_000)).toBe(true);
    expect(log.begin).toBeGreaterThanOrEqual(100_000);
    expect(log.end).toBe(400_000);
    expect(log.heldBytes).toBeLessThanOrEqual(200_000);
  });

  test("counts its memory: bytes and 256 for each piece, and no buffer that is mostly dropped", () => {
    const log = new OutputLog(10_000);
    expect(log.heldBytes).toBe(0);
    log.append(1, bytes("abcde"));
    expect(log.heldBytes).toBe(5 + 256);
    log.append(2, bytes("abcde"));
    log.append(2, bytes("fgh"));
    expect(log.heldBytes).toBe(5 + 8 + 2 * 256);
    log.discard();
    expect([log.heldBytes, log.begin, log.end]).toEqual([0, 13, 13]);

    const cut = new OutputLog(1000);
    cut.append(1, Buffer.alloc(1500));
    expect([cut.begin, cut.heldBytes]).toEqual([500, 1500 + 256]);
    const copied = new OutputLog(1000);
    copied.append(1, Buffer.alloc(5000));
    expect([copied.begin, copied.heldBytes]).toEqual([4000, 1000 + 256]);
    const halved = new OutputLog(1000);
    halved.append(1, Buffer.alloc(2 * 1000 + 257));
    expect(halved.heldBytes).toBe(1000 + 256);
  });

  test("drops no more for others than it has to", () => {
    const budget = new MemoryBudget(10_000);
    const log = new OutputLog(5000, budget);
    for (let count = 0; count < 4; count++) log.append(count % 2 === 0 ? 1 : 2, Buffer.alloc(744));
    expect([log.heldBytes, budget.usedBytes]).toEqual([4000, 4000]);
    const session = budget.share();
    expect(session.resize(3000)).toBe(true);
    expect(log.heldBytes).toBe(4000);
    expect(session.resize(3500)).toBe(true);
    expect([log.heldBytes, log.begin]).toEqual([3000, 744]);
    log.discard();
    log.append(1, bytes("late"));
    expect(budget.usedBytes).toBe(3500);
  });

  test("returns the rest of a piece from every offset of many pieces", () => {
    for (const pieces of [1, 2, 3, 4, 5, 8, 13]) {
      const log = new OutputLog(100_000);
      const text = "abc".repeat(pieces);
      for (let index = 0; index < pieces; index++)
        log.append(index % 2 === 0 ? 1 : 2, bytes("abc"));
      for (let offset = 0; offset < log.end; offset++) {
        const piece = log.read(offset);
        const stream = 1 + (Math.floor(offset / 3) % 2);
        const rest = bytes(text.slice(offset, 3 * (Math.floor(offset / 3) + 1)));
        expect(piece).toMatchObject({ offset, stream });
        expect(Buffer.from(piece?.bytes ?? [])).toEqual(rest);
      }
      expect(log.read(log.end)).toBeUndefined();
    }
  });

  test("merges pieces of a stream up to 4096 bytes, and no further", () => {
    const pieceLengths = (...lengths: number[]) => {
      const log = new OutputLog(100_000);
      for (const length of lengths) log.append(1, Buffer.alloc(length));
      const found: number[] = [];
      for (let offset = 0; offset < log.end; offset += found.at(-1) ?? 0) {
        found.push(log.read(offset)?.bytes.length ?? Number.NaN);
      }
      return found;
    };
    expect(pieceLengths(4000, 96)).toEqual([4096]);
    expect(pieceLengths(4000, 97)).toEqual([4000, 97]);
    expect(pieceLengths(4000, 4000)).toEqual([4000, 4000]);
  });

  test("drops exactly the excess, whether that is one byte or a whole piece", () => {
    const log = new OutputLog(1000);
    log.append(1, Buffer.alloc(1001));
    expect([log.begin, log.end]).toEqual([1, 1001]);
    const pieces = new OutputLog(1000);
    pieces.append(1, Buffer.alloc(1000));
    pieces.append(2, Buffer.alloc(1000));
    expect([pieces.begin, pieces.heldBytes]).toEqual([1000, 1000 + 256]);
  });

  test("keeps a buffer of which exactly half is dropped, and memory of exactly twice its limit", () => {
    const half = new OutputLog(1000);
    half.append(1, Buffer.alloc(2000));
    expect([half.begin, half.end, half.heldBytes]).toEqual([1000, 2000, 2000 + 256]);
  });

  test("keeps its last bytes when a piece is a little longer than twice the limit, or another follows", () => {
    for (const length of [2000, 2001, 2100, 2256, 2257, 3000]) {
      const log = new OutputLog(1000);
      log.append(1, Buffer.alloc(length));
      expect([log.begin, log.end]).toEqual([length - 1000, length]);
      expect(log.heldBytes).toBeLessThanOrEqual(2 * 1000 + 256);
    }
    const followed = new OutputLog(1000);
    followed.append(1, Buffer.alloc(2000));
    followed.append(2, bytes("x"));
    expect([followed.begin, followed.end, followed.heldBytes]).toEqual([
      1001,
      2001,
      999 + 257 + 256,
    ]);
  });
});

describe("a part of the output", () => {
  function logOf(...pieces: [timeMs: number, stream: 1 | 2, text: string][]): OutputLog {
    let nowMs = 0;
    const log = new OutputLog(1000, undefined, () => nowMs);
    for (const [timeMs, stream, text] of pieces) {
      nowMs = timeMs;
      log.append(stream, bytes(text));
    }
    return log;
  }

  test("has the time of each write, of pieces that were merged too", () => {
    const log = logOf([100, 1, "one\n"], [105, 1, "same\n"], [900, 1, "two\n"], [900, 2, "err\n"]);
    const pieces: [number, string][] = [];
    for (let piece = log.readTimed(1); piece !== undefined;) {
      pieces.push([piece.timeMs, Buffer.from(piece.bytes).toString()]);
      piece = log.readTimed(piece.offset + piece.bytes.length);
    }
    expect(pieces).toEqual([
      [100, "ne\nsame\n"],
      [900, "two\n"],
      [900, "err\n"],
    ]);
    expect(Object.keys(log.read(0) ?? {}).sort()).toEqual(["bytes", "offset", "stream"]);
    expect(log.heldBytes).toBe(log.end + 2 * 256 + 16);
  });

  test.each([
    [0, 0],
    [100, 0],
    [101, 4],
    [900, 4],
    [901, 12],
  ])("since %d ms begins at %d", (sinceMs, offset) => {
    const log = logOf([100, 1, "one\n"], [900, 1, "two\n"], [900, 2, "err\n"]);
    expect(log.offsetSince(sinceMs)).toBe(offset);
  });

  test("has times that displace no bytes", () => {
    for (const length of [20, 50, 500]) {
      let nowMs = 0;
      const log = new OutputLog(1000, undefined, () => (nowMs += 1000));
      for (let end = 0; end < 10_000; end += length) log.append(1, Buffer.alloc(length));
      expect([length, log.end - log.begin]).toEqual([length, 1000]);
    }
    let nowMs = 0;
    const log = new OutputLog(1000, undefined, () => (nowMs += 1000));
    for (let index = 0; index < 1000; index++) log.append(1, bytes("x"));
    expect([log.begin, log.end]).toEqual([0, 1000]);
  });

  test("since a time begins with what is still kept", () => {
    let nowMs = 5;
    const log = new OutputLog(10, undefined, () => nowMs);
    log.append(1, bytes("0123456789"));
    nowMs = 50;
    log.append(1, bytes("abc"));
    expect([log.offsetSince(0), log.offsetSince(6), log.offsetSince(51)]).toEqual([3, 10, 13]);
  });

  test.each([
    [0, ""],
    [1, "d\n"],
    [2, "c\nd\n"],
    [3, "b\nc\nd\n"],
    [4, "\nb\nc\nd\n"],
    [5, "a\n\nb\nc\nd\n"],
    [9, "a\n\nb\nc\nd\n"],
  ])("of the last %d lines is %j", (count, expected) => {
    const log = logOf([1, 1, "a\n\nb"], [1, 2, "\nc\n"], [1, 1, "d\n"]);
    const text = readAll(log, log.offsetOfLastLines(count)).text;
    expect(text.replaceAll(/[12]:| /g, "")).toBe(expected);
  });

  test("of the last lines counts one without an end, and one that begins with a line feed", () => {
    const log = logOf([1, 1, "\na\nb"]);
    const offsets = [1, 2, 3, 4].map((count) => log.offsetOfLastLines(count));
    expect(offsets).toEqual([3, 1, 0, 0]);
    expect(new OutputLog(10).offsetOfLastLines(3)).toBe(0);
  });
});
