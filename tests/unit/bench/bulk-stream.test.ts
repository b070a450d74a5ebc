import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { BulkStream, type BulkStreamOptions } from "../../../src/bench/bulk-stream.ts";
import type { VsockboxError } from "../../../src/errors.ts";
import { writeDescriptor } from "../../../src/ffi/socket.ts";
import { EventLoop } from "../../../src/io/event-loop.ts";
import { runUntil, SocketPair } from "../../support/socket-pair.ts";

let loop: EventLoop;
let pair: SocketPair;
beforeEach(() => {
  loop = new EventLoop();
  pair = new SocketPair();
});
afterEach(() => {
  loop.close();
  pair[Symbol.dispose]();
});

interface Watched {
  stream: BulkStream;
  ends: number;
  failures: VsockboxError[];
}

function streamAt(fd: number, changes: Partial<BulkStreamOptions>): Watched {
  const watched = { ends: 0, failures: [] as VsockboxError[] };
  const stream = new BulkStream({
    ...{ loop, fd, message: undefined, limitBytes: Infinity, buffer: undefined },
    onEnd: () => watched.ends++,
    onFailure: (error) => watched.failures.push(error),
    ...changes,
  });
  return Object.assign(watched, { stream });
}

const message = new Uint8Array(100_000);
const buffer = new Uint8Array(64 * 1024);

describe("a stream of bytes", () => {
  test.each([1, 99_999, 100_000, 100_001, 3_000_000])("sends %d bytes exactly", (limitBytes) => {
    const sender = streamAt(pair.near, { message, limitBytes });
    const receiver = streamAt(pair.far, { buffer });
    runUntil(loop, "both have ended", () => sender.ends + receiver.ends === 2);
    expect(sender.stream.sentBytes).toBe(limitBytes);
    expect(receiver.stream.receivedBytes).toBe(limitBytes);
    expect([sender.stream.isEnded, receiver.stream.isEnded]).toEqual([true, true]);
    expect([...sender.failures, ...receiver.failures]).toEqual([]);
  });

  test("sends until it is stopped, in whole or broken messages", () => {
    const sender = streamAt(pair.near, { message });
    const receiver = streamAt(pair.far, { buffer });
    runUntil(loop, "much is sent", () => receiver.stream.receivedBytes > 5_000_000);
    expect(sender.stream.isEnded).toBe(false);
    sender.stream.stopSending();
    sender.stream.stopSending();
    expect([sender.ends, sender.stream.isEnded]).toEqual([1, true]);
    runUntil(loop, "all is received", () => receiver.ends === 1);
    expect(receiver.stream.receivedBytes).toBe(sender.stream.sentBytes);
    loop.round(0);
    expect([sender.ends, receiver.ends]).toEqual([1, 1]);
  });

  test("goes both ways at once, and ends when both have", () => {
    const near = streamAt(pair.near, { message, buffer, limitBytes: 2_000_000 });
    const far = streamAt(pair.far, {
      message,
      buffer: new Uint8Array(1000),
      limitBytes: 3_000_001,
    });
    runUntil(loop, "the shorter direction has ended", () => near.stream.sentBytes === 2_000_000);
    runUntil(loop, "both have ended", () => near.ends + far.ends === 2);
    expect([near.stream.receivedBytes, far.stream.receivedBytes]).toEqual([3_000_001, 2_000_000]);
  });

  test("that receives is not ended by its own end of sending", () => {
    const near = streamAt(pair.near, { message, buffer });
    near.stream.stopSending();
    expect([near.ends, near.stream.isEnded]).toEqual([0, false]);
    pair.close(pair.far);
    runUntil(loop, "the peer's end is seen", () => near.ends + near.failures.length === 1);
  });

  test("serves other descriptors although its socket is always ready", () => {
    using other = new SocketPair();
    streamAt(pair.near, { message });
    streamAt(pair.far, { buffer });
    const second = streamAt(other.far, { buffer });
    writeDescriptor(other.near, new Uint8Array(5));
    for (let round = 0; round < 3; round++) loop.round(0);
    expect(second.stream.receivedBytes).toBe(5);
  });

  test("reports a peer that closes while bytes are sent, once", () => {
    const sender = streamAt(pair.near, { message });
    pair.close(pair.far);
    runUntil(loop, "the failure", () => sender.failures.length > 0);
    expect(sender.failures).toMatchObject([
      { code: "TRANSPORT", errno: "EPIPE", operation: "write to" },
    ]);
    expect([sender.ends, sender.stream.isEnded]).toEqual([0, true]);
    loop.round(0);
    expect(sender.failures).toHaveLength(1);
  });

  test("reports a connection that is reset", () => {
    const receiver = streamAt(pair.near, { buffer });
    writeDescriptor(pair.near, new Uint8Array(10));
    pair.close(pair.far);
    runUntil(loop, "the failure", () => receiver.failures.length > 0);
    expect(receiver.failures).toMatchObject([{ errno: "ECONNRESET", operation: "read from" }]);
  });

  test("is watched no more after it was closed", () => {
    const receiver = streamAt(pair.near, { buffer });
    receiver.stream.close();
    writeDescriptor(pair.far, new Uint8Array(10));
    loop.round(0);
    expect([receiver.stream.receivedBytes, receiver.stream.isEnded]).toEqual([0, true]);
  });
});
