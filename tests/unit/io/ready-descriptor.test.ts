/** Waiting for pipes, with each method of the kernel and with a timer. */
import { afterEach, describe, expect, test } from "bun:test";
import {
  closeDescriptor,
  openPipe,
  readDescriptor,
  setNonBlocking,
  writeDescriptor,
} from "../../../src/ffi/socket.ts";
import { DescriptorWatch } from "../../../src/io/descriptor-watch.ts";
import { ReadyDescriptor, writabilityOf } from "../../../src/io/ready-descriptor.ts";
import { EACH_METHOD } from "../../support/wake-up-methods.ts";

const open: number[] = [];
afterEach(() => {
  for (const fd of open.splice(0)) closeDescriptor(fd);
});

const BUFFER = new Uint8Array(1024 * 1024);

/** A pipe whose ends do not block. */
function newPipe() {
  const pipe = openPipe();
  open.push(pipe.read, pipe.write);
  setNonBlocking(pipe.read);
  setNonBlocking(pipe.write);
  return pipe;
}

/** A pipe that accepts no more bytes. */
function fullPipe() {
  const pipe = newPipe();
  while (writeDescriptor(pipe.write, BUFFER) > 0);
  return pipe;
}

test.each([
  [0x4, "writable"],
  [0x8, "writable"],
  [0x10, "hung up"],
  [0x14, "writable"],
  [0x1, undefined],
  [0, undefined],
] as const)("poll events %i mean %p", (events, expected) => {
  expect(writabilityOf(events)).toBe(expected);
});

describe.each(EACH_METHOD)("ReadyDescriptor by $name", ({ methods }) => {
  test("writable resolves when there is space again, for each of several", async () => {
    const watch = new DescriptorWatch(methods);
    const pipes = Array.from({ length: 10 }, fullPipe);
    const writers = pipes.map(({ write }) => new ReadyDescriptor(write, watch));
    const waits = writers.map((writer) => writer.writable());
    for (const { read } of pipes.toReversed()) readDescriptor(read, BUFFER);
    expect(await Promise.all(waits)).toEqual(pipes.map(() => "writable"));
    for (const writer of writers) writer.close();
  });

  test("close ends waits, and the descriptor can be waited for again", async () => {
    const watch = new DescriptorWatch(methods);
    const { read, write } = fullPipe();
    const first = new ReadyDescriptor(write, watch);
    const wait = first.writable();
    first.close();
    first.close();
    expect(await wait).toBe("abandoned");
    const second = new ReadyDescriptor(write, watch);
    const again = second.writable();
    readDescriptor(read, BUFFER);
    expect(await again).toBe("writable");
    second.close();
    const empty = newPipe();
    const reader = new ReadyDescriptor(empty.read, watch);
    const readable = reader.readable();
    expect(reader.isWaitingToRead).toBe(true);
    reader.close();
    await readable;
    expect(reader.isWaitingToRead).toBe(false);
  });

  test("readable resolves for each byte and for the end, with a pause in between", async () => {
    const { read, write } = newPipe();
    const ready = new ReadyDescriptor(read, new DescriptorWatch(methods));
    for (let round = 0; round < 20; round++) {
      const wait = ready.readable();
      writeDescriptor(write, Uint8Array.of(round));
      await wait;
      expect(readDescriptor(read, BUFFER)).toBe(1);
      // An event that comes while no one waits is not lost.
      if (round % 3 === 0) {
        writeDescriptor(write, Uint8Array.of(round));
        await Bun.sleep(methods.length === 0 ? 2 : 0);
        await ready.readable();
        expect(readDescriptor(read, BUFFER)).toBe(1);
      }
    }
    const end = ready.readable();
    open.splice(open.indexOf(write), 1);
    closeDescriptor(write);
    await end;
    expect(readDescriptor(read, BUFFER)).toBe(0);
    ready.close();
  });
});
