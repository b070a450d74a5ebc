/** What a test does, and what it has measured. */
import type { BenchTest } from "../protocols/bench/request.ts";
import type { Histogram } from "./histogram.ts";

/** A test. */
export interface TestPlan {
  test: BenchTest;
  /** Connections at once. */
  streams: number;
  messageBytes: number;
  /** How long it lasts without {@link limitBytes} or {@link limitCount}. */
  durationMs: number;
  /** Ends a test of bytes after this many in each stream and direction. */
  limitBytes: number | undefined;
  /** Ends the tests "latency" and "connects" after this many. */
  limitCount: number | undefined;
  /** Messages a second of the test "latency", of all streams together; undefined: as many as it can. */
  rate: number | undefined;
  /** Messages of the test "latency" that are sent for this long before are not counted. */
  warmUpMs: number;
}

/** Whether a test measures bytes, in contrast to round trips or connects. */
export function isBulk(test: BenchTest): boolean {
  return test === "upload" || test === "download" || test === "both";
}

/** Whether the plan's limit is a number of bytes, round trips or connects. */
export function isCounted({ test, limitBytes, limitCount }: TestPlan): boolean {
  return (isBulk(test) ? limitBytes : limitCount) !== undefined;
}

/** Counts since the start of a test. */
export interface Counts {
  toServerBytes: number;
  fromServerBytes: number;
  /** Round trips, with those of the warm-up, or connects. */
  operations: number;
}

/** Counts at a time. */
export interface BenchSample extends Counts {
  /** Since the start. */
  atMs: number;
}

/** Bytes in one direction. */
export interface BenchTransfer {
  bytes: number;
  /** How long the receiver received. */
  elapsedMs: number;
}

/** Round trips or connects. */
export interface Operations {
  count: number;
  elapsedMs: number;
  latency: Histogram;
  /** Whether the latency counts from the time at which a message was due. */
  isFromDue: boolean;
}

/** Bytes of one stream. */
export interface StreamTotals {
  toServerBytes: number;
  fromServerBytes: number;
}

/** What a test has measured. */
export interface TestResult {
  plan: TestPlan;
  /** From the start to the end of all streams, at the client. */
  elapsedMs: number;
  /** Whether the user has ended it early. */
  isInterrupted: boolean;
  toServer: BenchTransfer | undefined;
  fromServer: BenchTransfer | undefined;
  operations: Operations | undefined;
  /** Processor time of the client's process, user and system. */
  clientCpuMs: number;
  /** The same of the server's process. */
  serverCpuMs: number;
  samples: BenchSample[];
  streams: StreamTotals[];
}

/** The port of the server if an address does not have one. */
export const BENCH_PORT = 5201;
