/**
 * The client's end of a test with streams, in an event loop of its own.
 *
 *   connected -> Start -> streams run -> the client's senders end -> the server's senders end by themselves,
 *   or after Stop -> all streams are received to their end, and Result has come -> done
 */
import { VsockboxError } from "../errors.ts";
import { EventLoop } from "../io/event-loop.ts";
import { onAbort } from "../io/deadline.ts";
import type { ControlMessage, ServerResult } from "../protocols/bench/control.ts";
import { BulkStream, RECEIVE_BYTES, type TestStream } from "./bulk-stream.ts";
import { ControlLink } from "./control-link.ts";
import { CpuClock } from "./cpu-clock.ts";
import { Histogram } from "./histogram.ts";
import { PingStream } from "./ping-stream.ts";
import {
  type Counts,
  isCounted,
  type BenchSample,
  type TestPlan,
  type TestResult,
} from "./plan.ts";
import { resultOf } from "./stream-result.ts";

/** Interval of the samples, in milliseconds. */
export const SAMPLE_MS = 100;

/** How long the server has after the end of the client's senders and its own duration, in milliseconds. */
const DRAIN_MS = 10_000;

const NS_PER_MS = 1_000_000;
const NS_PER_SECOND = 1_000_000_000;

/** Options of {@link runStreamTest}. */
export interface StreamTestOptions {
  plan: TestPlan;
  /** The accepted control connection; the caller closes it. */
  control: number;
  /** The accepted streams; the caller closes them. */
  streams: readonly number[];
  /** Ends the test early, with the result so far. */
  signal: AbortSignal | undefined;
  onSample: (sample: BenchSample) => void;
}

/**
 * Runs a test of bytes or of round trips.
 *
 * @throws {VsockboxError} TRANSPORT if a connection breaks, TIMEOUT if the server does not end, BAD_DATA.
 */
export async function runStreamTest(options: StreamTestOptions): Promise<TestResult> {
  const test = new StreamTest(options);
  using _abort = onAbort(options.signal, () => test.interrupt());
  return await test.run();
}

class StreamTest {
  readonly #plan: TestPlan;
  readonly #onSample: (sample: BenchSample) => void;
  readonly #loop = new EventLoop();
  readonly #control: ControlLink;
  readonly #streams: TestStream[] = [];
  readonly #fds: readonly number[];
  readonly #latency = new Histogram();
  readonly #samples: BenchSample[] = [];
  readonly #cpu = new CpuClock();
  #startMs = 0;
  /** When the measured messages of the latency test begin, by Bun.nanoseconds(). */
  #measuredFromNs = 0;
  /** Messages that are back, with those of the warm-up. */
  #operations = 0;
  #lastOperationMs = 0;
  #sampleAtMs = Infinity;
  #deadlineMs = Infinity;
  #giveUpMs = Infinity;
  #open = 0;
  #endedMs: number | undefined;
  #hasStopped = false;
  #isInterrupted = false;
  #server: ServerResult | undefined;
  #failure: VsockboxError | undefined;

  constructor({ plan, control, streams, onSample }: StreamTestOptions) {
    this.#plan = plan;
    this.#fds = streams;
    this.#onSample = onSample;
    this.#control = new ControlLink({
      loop: this.#loop,
      fd: control,
      onMessage: (message) => this.#onMessage(message),
      onEnd: (error) => this.#fail(error),
    });
    this.#loop.eachRound(() => this.#onRound());
  }

  /** Ends the test; the result so far counts. */
  interrupt(): void {
    this.#isInterrupted = true;
    if (this.#startMs === 0) return;
    this.#control.send({ type: "stop" });
    this.#stop(performance.now());
  }

  async run(): Promise<TestResult> {
    try {
      this.#start();
      await this.#loop.run();
    } finally {
      for (const stream of this.#streams) stream.close();
      this.#control.close();
      this.#loop.close();
    }
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#server === undefined) throw new Error("the loop ended before the test");
    const elapsedMs = (this.#endedMs ?? performance.now()) - this.#startMs;
    return resultOf({
      plan: this.#plan,
      elapsedMs,
      measuredMs: Math.max(0, this.#lastOperationMs - this.#measuredFromNs / NS_PER_MS),
      isInterrupted: this.#isInterrupted,
      latency: this.#latency,
      clientCpuMs: this.#cpu.elapsedUs() / 1000,
      server: this.#server,
      samples: this.#samples,
      streams: this.#streams,
    });
  }

  #start(): void {
    const { warmUpMs, durationMs } = this.#plan;
    const isPing = this.#plan.test === "latency";
    const beforeMs = isPing ? warmUpMs : 0;
    this.#startMs = performance.now();
    this.#measuredFromNs = Bun.nanoseconds() + beforeMs * NS_PER_MS;
    this.#sampleAtMs = this.#startMs + SAMPLE_MS;
    if (!isCounted(this.#plan)) {
      this.#deadlineMs = this.#startMs + beforeMs + durationMs;
      this.#giveUpMs = this.#deadlineMs + DRAIN_MS;
    }
    this.#cpu.start();
    this.#control.send({ type: "start" });
    for (const fd of this.#fds) this.#streams.push(isPing ? this.#ping(fd) : this.#bulk(fd));
    this.#open = this.#streams.length;
    if (this.#isInterrupted) this.interrupt();
  }

  #bulk(fd: number): TestStream {
    const { test, messageBytes, limitBytes = Infinity } = this.#plan;
    return new BulkStream({
      loop: this.#loop,
      fd,
      message: test === "download" ? undefined : new Uint8Array(messageBytes),
      limitBytes,
      buffer: test === "upload" ? undefined : new Uint8Array(RECEIVE_BYTES),
      onEnd: () => this.#onStreamEnd(),
      onFailure: (error) => this.#fail(error),
    });
  }

  #ping(fd: number): TestStream {
    const { messageBytes, rate, streams } = this.#plan;
    const stream = new PingStream({
      loop: this.#loop,
      fd,
      messageBytes,
      intervalNs: rate === undefined ? undefined : (NS_PER_SECOND * streams) / rate,
      onLatency: (latencyNs, nowNs) => this.#onLatency(latencyNs, nowNs),
      onEnd: () => this.#onStreamEnd(),
      onFailure: (error) => this.#fail(error),
    });
    this.#loop.eachRound(() => stream.onRound(Bun.nanoseconds()));
    this.#loop.again();
    return stream;
  }

  #onLatency(latencyNs: number, nowNs: number): void {
    this.#operations++;
    // A message that was due during the warm-up does not count.
    if (nowNs - latencyNs < this.#measuredFromNs || this.#hasStopped) return;
    this.#latency.record(latencyNs);
    this.#lastOperationMs = nowNs / NS_PER_MS;
    if (this.#latency.count === this.#plan.limitCount) this.#stop(performance.now());
  }

  #onMessage(message: ControlMessage): void {
    if (message.type !== "result") return this.#fail(unexpected(message.type));
    this.#server = message.result;
    this.#finishIfDone();
  }

  #onStreamEnd(): void {
    this.#open--;
    if (this.#open > 0) return;
    this.#endedMs = performance.now();
    this.#giveUpMs = this.#endedMs + DRAIN_MS;
    this.#finishIfDone();
  }

  #finishIfDone(): void {
    if (this.#open > 0 || this.#server === undefined) return;
    this.#sample(performance.now());
    this.#loop.stop();
  }

  #onRound(): void {
    const now = performance.now();
    if (now >= this.#deadlineMs) this.#stop(now);
    if (now >= this.#sampleAtMs && this.#endedMs === undefined) this.#sample(now);
    if (now >= this.#giveUpMs) this.#fail(noEnd());
    this.#loop.noLaterThan(Math.min(this.#deadlineMs, this.#sampleAtMs, this.#giveUpMs));
  }

  /** Ends the client's senders; those of the server end after their duration, or after Stop. */
  #stop(now: number): void {
    this.#hasStopped = true;
    this.#deadlineMs = Infinity;
    this.#giveUpMs = now + DRAIN_MS;
    for (const stream of this.#streams) stream.stopSending();
  }

  #sample(now: number): void {
    this.#sampleAtMs = now + SAMPLE_MS;
    const sample = { atMs: now - this.#startMs, ...this.#counts() };
    this.#samples.push(sample);
    this.#onSample(sample);
  }

  #counts(): Counts {
    const sum = (bytesOf: (stream: TestStream) => number) =>
      this.#streams.reduce((total, stream) => total + bytesOf(stream), 0);
    return {
      toServerBytes: sum(({ sentBytes }) => sentBytes),
      fromServerBytes: sum(({ receivedBytes }) => receivedBytes),
      operations: this.#operations,
    };
  }

  #fail(error: VsockboxError): void {
    this.#failure ??= error;
    this.#loop.stop();
  }
}

function noEnd(): VsockboxError {
  return new VsockboxError({
    code: "TIMEOUT",
    operation: "complete the test",
    message: `the server has not ended it within ${DRAIN_MS / 1000} s`,
    hint: "the peer may be stopped, paused or overloaded",
  });
}

function unexpected(type: string): VsockboxError {
  return new VsockboxError({
    code: "BAD_DATA",
    operation: "continue with",
    address: "the test",
    message: `the server sent ${JSON.stringify(type)}`,
  });
}
