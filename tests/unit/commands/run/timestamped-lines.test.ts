import { describe, expect, test } from "bun:test";
import { TimestampedLines } from "../../../../src/commands/run/timestamped-lines.ts";

const T0 = "1970-01-01T00:00:00.000Z";
const T1 = "1970-01-01T00:00:01.000Z";

describe("TimestampedLines", () => {
  const lines = () => {
    const all = new TimestampedLines();
    return (stream: "stdout" | "stderr", text: string, timeMs: number) =>
      Buffer.from(all.push(stream, Buffer.from(text), timeMs)).toString();
  };

  test("puts the time before each line, empty ones included", () => {
    expect(lines()("stdout", "a\n\nb\n", 0)).toBe(`${T0} a\n${T0} \n${T0} b\n`);
    expect(lines()("stdout", "", 0)).toBe("");
  });

  test("has the time of the first byte of a line that comes in pieces", () => {
    const push = lines();
    expect(push("stdout", "a\nb", 0)).toBe(`${T0} a\n${T0} b`);
    expect(push("stdout", "c", 1000)).toBe("c");
    expect(push("stdout", "d\ne\n", 1000)).toBe(`d\n${T1} e\n`);
  });

  test("keeps the lines of both streams apart", () => {
    const push = lines();
    expect(push("stdout", "out", 0)).toBe(`${T0} out`);
    expect(push("stderr", "err\n", 1000)).toBe(`${T1} err\n`);
    expect(push("stdout", "put\n", 1000)).toBe("put\n");
  });
});
