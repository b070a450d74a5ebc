/** Both ends of a round trip: `ping-stream.ts` and `echo-stream.ts`. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { EchoStream } from "../../../src/bench/echo-stream.ts";
import { PingStream, type PingStreamOptions } from "../../../src/bench/ping-stream.ts";
import type { VsockboxError } from "../../../src/errors.ts";
import { readDescriptor, writeDescriptor } from "../../../src/ffi/socket.ts";
import { EventLoop } from "../../../src/io/event-loop.ts";
import { runUntil, SocketPair } from "../../support/socket-pair.ts";

let loop: EventLoop;
let pair: SocketPair;
let ends: string[];
let failures: VsockboxError[];
let latencies: { latencyNs: number; nowNs: number }[];
beforeEach(() => {
  loop = new EventLoop();
  pair = new SocketPair();
  ends = [];
  failures = [];
  latencies = [];
});
afterEach(() => {
  loop.close();
  pair[Symbol.dispose]();
});

function echoAt(fd: number, messageBytes: number): EchoStream {
  return new EchoStream({
    ...{ loop, fd, messageBytes },
    onEnd: () => ends.push("echo"),
    onFailure: (error) => failures.push(error),
  });
}

function pingAt(fd: number, changes: Partial<PingStreamOptions> = {}): PingStream {
  const stream = new PingStream({
    ...{ loop, fd, messageBytes: 10, intervalNs: undefined },
    onLatency: (latencyNs, nowNs) => latencies.push({ latencyNs, nowNs }),
    onEnd: () => ends.push("ping"),
    onFailure: (error) => failures.push(error),
    ...changes,
  });
  loop.eachRound(() => stream.onRound(Bun.nanoseconds()));
  return stream;
}

describe("a round trip", () => {
  test.each([1, 10, 1_000_000])("of %d bytes comes back whole, again and again", (messageBytes) => {
    const ping = pingAt(pair.near, { messageBytes });
    const echo = echoAt(pair.far, messageBytes);
    runUntil(loop, "five round trips", () => latencies.length >= 5);
    ping.stopSending();
    runUntil(loop, "both have ended", () => ends.length === 2);
    expect(ends.toSorted()).toEqual(["echo", "ping"]);
    expect([ping.isEnded, echo.isEnded]).toEqual([true, true]);
    // The message on its way when it was stopped is complete as well.
    expect(ping.receivedBytes).toBe(latencies.length * messageBytes);
    expect([ping.sentBytes, echo.receivedBytes, echo.sentBytes]).toEqual([
      ...[ping.receivedBytes, ping.receivedBytes, ping.receivedBytes],
    ]);
    expect(failures).toEqual([]);
    for (const { latencyNs } of latencies) expect(latencyNs).toBeGreaterThan(0);
  });

  test("begins right after the last one without an interval", () => {
    pingAt(pair.near);
    echoAt(pair.far, 10);
    runUntil(loop, "some round trips", () => latencies.length >= 4);
    for (const [index, { latencyNs, nowNs }] of latencies.entries()) {
      const before = latencies[index - 1];
      if (before !== undefined) expect(nowNs - latencyNs).toBe(before.nowNs);
    }
  });

  test("is due at times of its own with an interval, however late it is sent", () => {
    const intervalNs = 2_000_000;
    pingAt(pair.near, { intervalNs });
    echoAt(pair.far, 10);
    runUntil(loop, "the first", () => latencies.length === 1);
    Bun.sleepSync(15);
    runUntil(loop, "those that were due in the pause", () => latencies.length >= 9);
    const due = latencies.map(({ latencyNs, nowNs }) => nowNs - latencyNs);
    for (const [index, time] of due.entries()) {
      const before = due[index - 1];
      if (before !== undefined) expect(Math.round(time - before)).toBe(intervalNs);
    }
    // What was due at the beginning of the pause has waited for most of it.
    expect(Math.max(...latencies.map(({ latencyNs }) => latencyNs))).toBeGreaterThan(10_000_000);
  });

  test("is not sent before it is due", () => {
    const ping = pingAt(pair.near, { intervalNs: 3_600_000_000_000 });
    echoAt(pair.far, 10);
    runUntil(loop, "the first", () => latencies.length === 1);
    for (let round = 0; round < 5; round++) loop.round(1);
    expect(ping.sentBytes).toBe(10);
    // It waits for nothing then.
    ping.stopSending();
    runUntil(loop, "both have ended", () => ends.length === 2);
  });

  test("is awaited before the end", () => {
    const ping = pingAt(pair.near);
    loop.round(0);
    ping.stopSending();
    expect(ping.isEnded).toBe(false);
    const buffer = new Uint8Array(20);
    expect(readDescriptor(pair.far, buffer)).toBe(10);
    writeDescriptor(pair.far, buffer.subarray(0, 10));
    runUntil(loop, "the message is back", () => latencies.length === 1);
    expect(readDescriptor(pair.far, buffer)).toBe(0);
    expect(ends).toEqual([]);
    pair.close(pair.far);
    runUntil(loop, "the end", () => ends.length === 1);
  });

  test("ends with an error if the peer closes before that", () => {
    const ping = pingAt(pair.near);
    loop.round(0);
    readDescriptor(pair.far, new Uint8Array(20));
    pair.close(pair.far);
    runUntil(loop, "the failure", () => failures.length === 1);
    expect(failures).toMatchObject([{ code: "TRANSPORT", errno: "ECONNRESET" }]);
    expect([ping.isEnded, ends]).toEqual([true, []]);
  });

  test("ends with an error if it cannot be sent", () => {
    const ping = pingAt(pair.near);
    pair.close(pair.far);
    ping.onRound(Bun.nanoseconds());
    expect(failures).toMatchObject([{ errno: "EPIPE", operation: "write to" }]);
    expect(ping.isEnded).toBe(true);
  });

  test("ends with an error of the peer's writes", () => {
    echoAt(pair.near, 10);
    writeDescriptor(pair.far, new Uint8Array(10));
    pair.close(pair.far);
    runUntil(loop, "the failure", () => failures.length + ends.length > 0);
    expect(failures).toMatchObject([{ code: "TRANSPORT", errno: "EPIPE" }]);
  });
});

describe("an echo", () => {
  test("returns nothing before a message is whole", () => {
    const echo = echoAt(pair.near, 10);
    const buffer = new Uint8Array(20);
    writeDescriptor(pair.far, new Uint8Array(9));
    for (let round = 0; round < 3; round++) loop.round(0);
    expect([echo.receivedBytes, echo.sentBytes]).toEqual([9, 0]);
    writeDescriptor(pair.far, Uint8Array.of(7));
    runUntil(loop, "the message is back", () => echo.sentBytes === 10);
    expect(readDescriptor(pair.far, buffer)).toBe(10);
    expect(buffer[9]).toBe(7);
  });

  test("is watched no more after it was closed, and stopSending changes nothing", () => {
    const echo = echoAt(pair.near, 1);
    echo.stopSending();
    expect(echo.isEnded).toBe(false);
    echo.close();
    writeDescriptor(pair.far, Uint8Array.of(7));
    loop.round(0);
    expect([echo.receivedBytes, echo.isEnded]).toEqual([0, true]);
  });
});
