import { afterEach, describe, expect, test } from "bun:test";
import { openSync } from "node:fs";
import { openPty } from "../../../src/ffi/pty.ts";
import { closeDescriptor, openPipe, PIPE_BYTES, writeDescriptor } from "../../../src/ffi/socket.ts";
import { DescriptorWatch } from "../../../src/io/descriptor-watch.ts";
import { BatchingReader, openOutput } from "../../../src/io/output-reader.ts";
import { PipeReader, PipeWriter } from "../../../src/io/pipe.ts";
import { EACH_METHOD } from "../../support/wake-up-methods.ts";

const open: number[] = [];
afterEach(() => {
  for (const fd of open.splice(0)) closeDescriptor(fd);
});

/** More than any pipe holds, no two bytes after each other the same. */
const MUCH = Uint8Array.from({ length: 3_000_000 }, (_, index) => index % 251);

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

async function piecesOf(reader: BatchingReader): Promise<Uint8Array[]> {
  const pieces: Uint8Array[] = [];
  for await (const piece of reader) pieces.push(piece);
  return pieces;
}

describe("BatchingReader", () => {
  test("carries more than a pipe holds, in order and in pieces of their own, and ends", async () => {
    const pipe = openPipe();
    const writer = new PipeWriter(pipe.write);
    const reader = new BatchingReader(pipe.read);
    const written = Promise.all([writer.write(MUCH), writer.write(Uint8Array.of(1)), writer.end()]);
    const pieces = await piecesOf(reader);
    await written;
    expect(Buffer.concat(pieces).equals(Buffer.concat([MUCH, Uint8Array.of(1)]))).toBe(true);
    expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThanOrEqual(PIPE_BYTES);
    expect(new Set(pieces.map(({ buffer }) => buffer)).size).toBe(pieces.length);
    expect(await reader.read()).toBeUndefined();
    await reader.close();
  });

  test("puts together what comes in turns of the event loop that follow each other", async () => {
    const pipe = openPipe();
    const reader = new BatchingReader(pipe.read);
    const pieces = piecesOf(reader);
    for (let index = 0; index < 200; index++) {
      writeDescriptor(pipe.write, Uint8Array.of(index));
      await turn();
    }
    closeDescriptor(pipe.write);
    const read = await pieces;
    expect(Buffer.concat(read)).toEqual(Buffer.from(Array.from({ length: 200 }, (_, at) => at)));
    expect(read.length).toBeLessThan(50);
    await reader.close();
  });

  test("returns what has come as soon as no more does", async () => {
    const pipe = openPipe();
    open.push(pipe.write);
    const reader = new BatchingReader(pipe.read);
    for (const text of ["one", "two"]) {
      writeDescriptor(pipe.write, Buffer.from(text));
      expect(Buffer.from((await reader.read()) ?? []).toString()).toBe(text);
    }
    await reader.close();
  });

  test("lets the event loop have a turn however much there is to read", async () => {
    const zeros = openSync("/dev/zero", "r");
    const reader = new BatchingReader(zeros);
    let turns = 0;
    void turn().then(() => turns++);
    for (let bytes = 0; bytes < 4 * 1024 * 1024;) bytes += (await reader.read())?.length ?? 0;
    expect(turns).toBe(1);
    await reader.close();
  });

  test("close ends a read that waits, and one between two turns keeps its bytes", async () => {
    for (const isWaiting of [true, false]) {
      const pipe = openPipe();
      open.push(pipe.write);
      const reader = new BatchingReader(pipe.read);
      if (!isWaiting) writeDescriptor(pipe.write, Uint8Array.of(1));
      const piece = reader.read();
      await Promise.resolve();
      await reader.close();
      await reader.close();
      expect(await piece).toEqual(isWaiting ? undefined : Uint8Array.of(1));
      expect(await reader.read()).toBeUndefined();
      expect(writeDescriptor(pipe.write, Uint8Array.of(1))).toBeLessThan(0);
    }
  });

  test("a terminal whose other end is closed ends after its last bytes", async () => {
    const { master, slave } = openPty({ rows: 1, cols: 1 });
    writeDescriptor(slave, Buffer.from("last"));
    closeDescriptor(slave);
    const reader = new BatchingReader(master);
    expect(Buffer.concat(await piecesOf(reader)).toString()).toBe("last");
    await reader.close();
  });

  test("any other error of the kernel is thrown", async () => {
    const directory = openSync("/", "r");
    const reader = new BatchingReader(directory);
    expect(await reader.read().catch(({ errno }) => errno)).toBe("EISDIR");
    await reader.close();
  });
});

test.each(EACH_METHOD)("openOutput by $name", async ({ methods }) => {
  const pipe = openPipe();
  const reader = openOutput(pipe.read, new DescriptorWatch(methods));
  expect(reader instanceof PipeReader).toBe(methods.length === 0);
  writeDescriptor(pipe.write, Buffer.from("bytes"));
  closeDescriptor(pipe.write);
  expect(Buffer.from((await reader.read()) ?? []).toString()).toBe("bytes");
  expect(await reader.read()).toBeUndefined();
  await reader.close();
});
