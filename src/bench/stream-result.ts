/** Puts together what both ends of a test have counted: the receiver's counts are those that count. */
import type { ServerResult } from "../protocols/bench/control.ts";
import type { StreamCounts } from "./bulk-stream.ts";
import type { Histogram } from "./histogram.ts";
import type { BenchSample, StreamTotals, TestPlan, TestResult, BenchTransfer } from "./plan.ts";

const US_PER_MS = 1000;

/** What the client has at the end of a test. */
export interface ClientEnd {
  plan: TestPlan;
  /** From the start to the end of all streams. */
  elapsedMs: number;
  /** From the end of the warm-up to the last message of a latency test. */
  measuredMs: number;
  isInterrupted: boolean;
  latency: Histogram;
  clientCpuMs: number;
  server: ServerResult;
  samples: BenchSample[];
  streams: readonly StreamCounts[];
}

/** Returns the result of a test with streams. */
export function resultOf(end: ClientEnd): TestResult {
  const { plan, elapsedMs, isInterrupted, clientCpuMs, server, samples } = end;
  const streams = end.streams.map(({ receivedBytes }, index): StreamTotals => ({
    toServerBytes: server.streams[index]?.receivedBytes ?? 0,
    fromServerBytes: receivedBytes,
  }));
  const { test } = plan;
  const transfer = (
    bytesOf: (stream: StreamTotals) => number,
    receivedMs: number,
  ): BenchTransfer => ({
    bytes: streams.reduce((sum, stream) => sum + bytesOf(stream), 0),
    elapsedMs: receivedMs,
  });
  const isPing = test === "latency";
  return {
    plan,
    elapsedMs,
    isInterrupted,
    toServer:
      test === "upload" || test === "both"
        ? transfer(({ toServerBytes }) => toServerBytes, server.elapsedUs / US_PER_MS)
        : undefined,
    fromServer:
      test === "download" || test === "both"
        ? transfer(({ fromServerBytes }) => fromServerBytes, elapsedMs)
        : undefined,
    operations: isPing ? operationsOf(end) : undefined,
    clientCpuMs,
    serverCpuMs: (server.cpuUserUs + server.cpuSystemUs) / US_PER_MS,
    samples,
    streams,
  };
}

function operationsOf({ latency, measuredMs, plan }: ClientEnd) {
  const isFromDue = plan.rate !== undefined;
  return { count: latency.count, elapsedMs: measuredMs, latency, isFromDue };
}
