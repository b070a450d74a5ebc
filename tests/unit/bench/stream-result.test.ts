import { describe, expect, test } from "bun:test";
import { Histogram } from "../../../src/bench/histogram.ts";
import { type ClientEnd, resultOf } from "../../../src/bench/stream-result.ts";
import { planOf } from "../../support/bench-results.ts";
import type { BenchTest } from "../../../src/protocols/bench/request.ts";

function end(test_: BenchTest, changes: Partial<ClientEnd> = {}): ClientEnd {
  return {
    plan: planOf(test_),
    elapsedMs: 2100,
    measuredMs: 1900,
    isInterrupted: false,
    latency: new Histogram(),
    clientCpuMs: 500,
    server: {
      elapsedUs: 2_050_000,
      cpuUserUs: 200_000,
      cpuSystemUs: 300_500,
      streams: [
        { receivedBytes: 10, sentBytes: 1000 },
        { receivedBytes: 20, sentBytes: 2000 },
      ],
    },
    samples: [],
    streams: [
      { sentBytes: 11, receivedBytes: 100 },
      { sentBytes: 22, receivedBytes: 200 },
    ],
    ...changes,
  };
}

describe("the result of", () => {
  test("upload has what the server has received, in the server's time", () => {
    expect(resultOf(end("upload"))).toMatchObject({
      toServer: { bytes: 30, elapsedMs: 2050 },
      fromServer: undefined,
      operations: undefined,
      elapsedMs: 2100,
      clientCpuMs: 500,
      serverCpuMs: 500.5,
    });
  });

  test("download has what the client has received, in the client's time", () => {
    expect(resultOf(end("download"))).toMatchObject({
      toServer: undefined,
      fromServer: { bytes: 300, elapsedMs: 2100 },
      operations: undefined,
    });
  });

  test("both has both", () => {
    expect(resultOf(end("both", { isInterrupted: true }))).toMatchObject({
      toServer: { bytes: 30 },
      fromServer: { bytes: 300 },
      isInterrupted: true,
      streams: [
        { toServerBytes: 10, fromServerBytes: 100 },
        { toServerBytes: 20, fromServerBytes: 200 },
      ],
    });
  });

  test.each([
    [undefined, false],
    [1000, true],
  ])("latency with the rate %p has its round trips after the warm-up", (rate, isFromDue) => {
    const latency = new Histogram();
    latency.record(5);
    const plan = { ...planOf("latency"), rate };
    expect(resultOf(end("latency", { latency, plan }))).toMatchObject({
      toServer: undefined,
      fromServer: undefined,
      operations: { count: 1, elapsedMs: 1900, isFromDue },
    });
  });

  test("a stream that the server does not have received nothing", () => {
    const server = { elapsedUs: 1, cpuUserUs: 0, cpuSystemUs: 0, streams: [] };
    expect(resultOf(end("upload", { server })).toServer).toEqual({ bytes: 0, elapsedMs: 0.001 });
  });
});
