import { describe, expect, test } from "bun:test";
import { VsockboxError } from "../../../src/errors.ts";
import { ReadBuffer } from "../../../src/io/read-buffer.ts";

const bytes = (text: string) => new Uint8Array(Buffer.from(text));
const broken = new VsockboxError({ code: "TRANSPORT", operation: "read" });

function makeBuffer() {
  const reads: number[] = [];
  const buffer: ReadBuffer = new ReadBuffer(() => reads.push(buffer.bytes));
  return { buffer, reads };
}

describe("ReadBuffer", () => {
  test("returns chunks in order, counts unread bytes, and reports each read", async () => {
    const { buffer, reads } = makeBuffer();
    buffer.push(bytes("abc"));
    buffer.push(bytes("de"));
    expect(buffer.bytes).toBe(5);
    expect(await buffer.next()).toEqual(bytes("abc"));
    expect(await buffer.next()).toEqual(bytes("de"));
    expect(buffer.bytes).toBe(0);
    expect(reads).toEqual([2, 0]);
  });

  test("a reader that waits gets the next chunk", async () => {
    const { buffer } = makeBuffer();
    const next = buffer.next();
    buffer.push(bytes("a"));
    expect(await next).toEqual(bytes("a"));
  });

  test("bytes that are put back come first, and count", async () => {
    const { buffer } = makeBuffer();
    buffer.push(bytes("c"));
    buffer.unread(bytes("ab"));
    buffer.unread(bytes(""));
    expect(buffer.bytes).toBe(3);
    expect(await buffer.next()).toEqual(bytes("ab"));
    expect(await buffer.next()).toEqual(bytes("c"));
  });

  test("the end comes after the unread chunks, again and again", async () => {
    const { buffer } = makeBuffer();
    buffer.push(bytes("a"));
    expect(buffer.isEnded).toBe(false);
    buffer.end();
    expect(buffer.isEnded).toBe(true);
    expect(await buffer.next()).toEqual(bytes("a"));
    expect(await buffer.next()).toBeUndefined();
    expect(await buffer.next()).toBeUndefined();
  });

  test("the end wakes a reader that waits", async () => {
    const { buffer } = makeBuffer();
    const next = buffer.next();
    buffer.end();
    expect(await next).toBeUndefined();
  });

  test("the first failure comes after the unread chunks, instead of the end", async () => {
    const { buffer } = makeBuffer();
    buffer.push(bytes("a"));
    buffer.end();
    buffer.fail(broken);
    buffer.fail(new VsockboxError({ code: "ABORTED", operation: "read" }));
    expect(await buffer.next()).toEqual(bytes("a"));
    expect(await buffer.next().catch((thrown: unknown) => thrown)).toBe(broken);
  });

  test("a failure wakes a reader that waits", async () => {
    const { buffer } = makeBuffer();
    const next = buffer.next().catch((thrown: unknown) => thrown);
    buffer.fail(broken);
    expect(await next).toBe(broken);
  });

  test.each([
    ["a chunk", (buffer: ReadBuffer) => buffer.push(bytes("a"))],
    ["the end", (buffer: ReadBuffer) => buffer.end()],
    ["a failure", (buffer: ReadBuffer) => buffer.fail(broken)],
  ])("%s is announced once to each that watches, and consumed by none", async (_, arrive) => {
    const { buffer } = makeBuffer();
    const woken: string[] = [];
    buffer.onReadable(() => woken.push("first"));
    const second = buffer.onReadable(() => woken.push("disposed"));
    second[Symbol.dispose]();
    buffer.onReadable(() => woken.push("second"));
    expect(woken).toEqual([]);
    arrive(buffer);
    arrive(buffer);
    expect(woken).toEqual(["first", "second"]);
    buffer.onReadable(() => woken.push("at once"));
    expect(woken).toEqual(["first", "second", "at once"]);
    buffer.push(bytes("b"));
    const next = await buffer.next().catch((thrown: unknown) => thrown);
    expect(next).toBeInstanceOf(Uint8Array);
  });

  test("cleared bytes are neither counted nor returned", async () => {
    const { buffer } = makeBuffer();
    buffer.push(bytes("abc"));
    buffer.clear();
    buffer.push(bytes("d"));
    expect(buffer.bytes).toBe(1);
    expect(await buffer.next()).toEqual(bytes("d"));
  });
});
