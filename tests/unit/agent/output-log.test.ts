import { describe, expect, test } from "bun:test";
import { OutputLog } from "../../../src/agent/output-log.ts";

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
  test("gives every byte by its offset, streams apart", () => {
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

  test("wakes who waits for more", async () => {
    const log = new OutputLog(10);
    const { changed } = log;
    log.append(1, bytes("x"));
    await changed;
    const ended = log.changed;
    log.finish();
    await ended;
  });
});
