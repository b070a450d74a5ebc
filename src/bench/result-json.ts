/** A result as the object that `bench run --json` prints: docs/json.md has its keys. */
import type { Operations, TestResult, BenchTransfer } from "./plan.ts";
import { perSecond } from "./units.ts";

const NS_PER_MS = 1_000_000;

/** Milliseconds with microseconds as the fraction. */
const milliseconds = (ms: number) => Math.round(ms * 1000) / 1000;
const fromNs = (ns: number) => milliseconds(ns / NS_PER_MS);

function rateOf(transfer: BenchTransfer | undefined): number | null {
  if (transfer === undefined) return null;
  return Math.round(perSecond(transfer.bytes, transfer.elapsedMs));
}

function latencyOf({ latency }: Operations) {
  return {
    min_ms: fromNs(latency.minNs),
    mean_ms: fromNs(latency.meanNs),
    p50_ms: fromNs(latency.percentileNs(0.5)),
    p90_ms: fromNs(latency.percentileNs(0.9)),
    p99_ms: fromNs(latency.percentileNs(0.99)),
    p99_9_ms: fromNs(latency.percentileNs(0.999)),
    max_ms: fromNs(latency.maxNs),
  };
}

/** Returns the object of a result. */
export function resultJson(result: TestResult, address: string) {
  const { plan, toServer, fromServer, operations } = result;
  return {
    test: plan.test,
    address,
    streams: plan.streams,
    message_bytes: plan.messageBytes,
    duration_ms: milliseconds(result.elapsedMs),
    interrupted: result.isInterrupted,
    to_server_bytes: toServer?.bytes ?? null,
    to_server_bytes_per_second: rateOf(toServer),
    from_server_bytes: fromServer?.bytes ?? null,
    from_server_bytes_per_second: rateOf(fromServer),
    operations: operations?.count ?? null,
    operations_per_second:
      operations === undefined
        ? null
        : Math.round(perSecond(operations.count, operations.elapsedMs)),
    latency: operations === undefined ? null : latencyOf(operations),
    latency_from_due: operations?.isFromDue ?? null,
    histogram:
      operations === undefined
        ? null
        : operations.latency
            .buckets()
            .map(({ upperNs, count }) => ({ upper_ms: fromNs(upperNs), count })),
    client_cpu_ms: milliseconds(result.clientCpuMs),
    server_cpu_ms: milliseconds(result.serverCpuMs),
    samples: result.samples.map(({ atMs, toServerBytes, fromServerBytes, operations: count }) => ({
      at_ms: milliseconds(atMs),
      to_server_bytes: toServerBytes,
      from_server_bytes: fromServerBytes,
      operations: count,
    })),
    stream_bytes: result.streams.map(({ toServerBytes, fromServerBytes }) => ({
      to_server_bytes: toServerBytes,
      from_server_bytes: fromServerBytes,
    })),
  };
}
