import { describe, expect, test } from "bun:test";
import { VsockboxError } from "../../../../src/errors.ts";
import { COMMAND_MAX_BYTES } from "../../../../src/protocols/guest-exec/command.ts";
import { CommandDecoder, encodeCommandFrame } from "../../../../src/protocols/guest-exec/frame.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const texts = (commands: Iterable<Uint8Array>) =>
  [...commands].map((command) => Buffer.from(command).toString("latin1"));

function errorOf(action: () => unknown): VsockboxError {
  try {
    action();
  } catch (thrown) {
    if (thrown instanceof VsockboxError) return thrown;
    throw thrown;
  }
  throw new Error("nothing was thrown");
}

test("a frame is a little-endian u16 and the bytes", () => {
  expect([...encodeCommandFrame(bytes("ab"))]).toEqual([2, 0, 0x61, 0x62]);
  expect([...encodeCommandFrame(new Uint8Array(0))]).toEqual([0, 0]);
  expect([...encodeCommandFrame(new Uint8Array(0x0102)).subarray(0, 2)]).toEqual([2, 1]);
  expect(() => encodeCommandFrame(new Uint8Array(2049))).toThrow(RangeError);
});

describe("CommandDecoder", () => {
  const stream = Buffer.concat(
    ["echo one", "", "x".repeat(2048), "z"].map((text) => encodeCommandFrame(bytes(text))),
  );

  test.each([1, 2, 3, 7, 4096])("reads chunks of %d bytes", (size) => {
    const decoder = new CommandDecoder();
    const commands: string[] = [];
    for (let at = 0; at < stream.length; at += size) {
      commands.push(...texts(decoder.push(stream.subarray(at, at + size))));
    }
    expect(commands).toEqual(["echo one", "", "x".repeat(2048), "z"]);
    expect(decoder.atBoundary).toBe(true);
    decoder.finish();
  });

  test("returns copies: the chunk may be used again", () => {
    const chunk = encodeCommandFrame(bytes("keep"));
    const [command] = [...new CommandDecoder().push(chunk)];
    chunk.fill(0);
    expect(texts([command ?? chunk])).toEqual(["keep"]);
  });

  test("does not read the bytes after a command before the command has been consumed", () => {
    const decoder = new CommandDecoder();
    const commands = decoder.push(Buffer.concat([encodeCommandFrame(bytes("a")), Buffer.of(1, 8)]));
    expect(texts([commands.next().value ?? bytes("nothing")])).toEqual(["a"]);
    expect(errorOf(() => commands.next())).toMatchObject({ code: "BAD_DATA" });
  });

  test.each([2049, 0x1000, 65_535])("refuses a length of %d, and names it", (length) => {
    const header = Buffer.of(length & 0xff, length >> 8);
    const error = errorOf(() => [...new CommandDecoder().push(header)]);
    expect([error.code, error.message]).toEqual([
      "BAD_DATA",
      `cannot read command: a length of ${length}, above the limit of ${COMMAND_MAX_BYTES} bytes`,
    ]);
  });

  test("an end inside a frame is an error with the number of missing bytes, at every byte", () => {
    const frame = encodeCommandFrame(bytes("echo"));
    const missing = [1, 4, 3, 2, 1];
    for (const [index, count] of missing.entries()) {
      const decoder = new CommandDecoder();
      expect([...decoder.push(frame.subarray(0, index + 1))]).toEqual([]);
      const error = errorOf(() => decoder.finish());
      expect(error.code).toBe("BAD_DATA");
      expect(error.message).toContain(`${count} ${count === 1 ? "byte is" : "bytes are"} missing`);
    }
  });

  test("a NUL at the end is cut off, one inside is refused", () => {
    expect(texts(new CommandDecoder().push(encodeCommandFrame(bytes("a b\n\0\0"))))).toEqual([
      "a b",
    ]);
    const inside = encodeCommandFrame(bytes("rm -r /tmp\0/x"));
    expect(errorOf(() => [...new CommandDecoder().push(inside)]).message).toContain(
      "a NUL byte inside the command, after 10 of 13 bytes",
    );
  });
});
