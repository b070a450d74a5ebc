/**
 * The server's end of one test.
 *
 *   waiting   until the streams that the request names are connected, and Start has come
 *   running   until all streams have ended in both directions, or Stop has come for one without streams
 *   finished  Result is sent; the client closes the control connection
 */
import { VsockboxError } from "../errors.ts";
import { closeDescriptor } from "../ffi/socket.ts";
import type { EventLoop } from "../io/event-loop.ts";
import type { ControlMessage, ServerResult } from "../protocols/bench/control.ts";
import type { TestRequest } from "../protocols/bench/request.ts";
import { BulkStream, type TestStream } from "./bulk-stream.ts";
import { ControlLink } from "./control-link.ts";
import { CpuClock } from "./cpu-clock.ts";
import { EchoStream } from "./echo-stream.ts";

/** How long a test waits for its client, in milliseconds. */
export interface TestTimeouts {
  /** To connect all streams. */
  connectMs: number;
  /** Beyond the longest duration, before a test is aborted: buffers may have to drain. */
  graceMs: number;
}

const US_PER_MS = 1000;

/** The end of a test, for the log. */
export interface ServedTest {
  request: TestRequest;
  peer: string;
  /** Undefined if the test did not reach its end. */
  result: ServerResult | undefined;
  /** Connects of the test "connects". */
  connects: number;
  /** Why it did not reach its end. */
  error: VsockboxError | undefined;
}

/** Options of {@link ServerTest}. */
export interface ServerTestOptions {
  loop: EventLoop;
  request: TestRequest;
  /** The control connection, closed by the test. */
  control: number;
  peer: string;
  /** The longest duration, in milliseconds. */
  maxDurationMs: number;
  timeouts: TestTimeouts;
  /** Receives the bytes of all streams, which are not kept. */
  buffer: Uint8Array;
  /** Called once, after all descriptors are closed. */
  onEnd: (served: ServedTest) => void;
}

/** A test that is served. */
export class ServerTest {
  /** Connects of the test "connects". */
  connects = 0;
  readonly #options: ServerTestOptions;
  readonly #control: ControlLink;
  readonly #message: Uint8Array;
  /** Descriptors of the streams by their numbers. */
  readonly #fds = new Map<number, number>();
  readonly #streams: TestStream[] = [];
  readonly #cpu = new CpuClock();
  #startMs: number | undefined;
  #stopMs = Infinity;
  #abortMs: number;
  #open = 0;
  #result: ServerResult | undefined;
  #isEnded = false;

  constructor(options: ServerTestOptions) {
    this.#options = options;
    const { loop, control, request, timeouts } = options;
    this.#message = new Uint8Array(request.messageBytes);
    this.#abortMs = performance.now() + timeouts.connectMs;
    this.#control = new ControlLink({
      loop,
      fd: control,
      onMessage: (message) => this.#onMessage(message),
      onEnd: (error) => this.#end(error),
    });
  }

  /** When {@link onTime} has to be called, by performance.now(). */
  get nextTimeMs(): number {
    return Math.min(this.#stopMs, this.#abortMs);
  }

  /** Accepts the connection of a stream, and owns it; returns false, and does not own it, if it has one. */
  addStream(number: number, fd: number): boolean {
    const { streams, test } = this.#options.request;
    const isExpected = number < streams && test !== "connects" && !this.#fds.has(number);
    if (!isExpected || this.#startMs !== undefined || this.#isEnded) return false;
    this.#fds.set(number, fd);
    return true;
  }

  /** Ends senders after their duration, and a test that does not end. */
  onTime(now: number): void {
    if (now >= this.#stopMs) this.#stop();
    if (now >= this.#abortMs) this.#end(tooLong());
  }

  /** Closes everything. */
  close(): void {
    this.#end(undefined);
  }

  #onMessage(message: ControlMessage): void {
    if (message.type === "start") return this.#start();
    if (message.type !== "stop") return this.#end(unexpected("a result"));
    this.#stop();
    if (this.#options.request.test === "connects") this.#finish();
  }

  #start(): void {
    const { request, maxDurationMs, timeouts } = this.#options;
    const expected = request.test === "connects" ? 0 : request.streams;
    if (this.#startMs !== undefined) return this.#end(unexpected("a second start"));
    if (this.#fds.size !== expected) return this.#end(unexpected("a start before all streams"));
    const now = performance.now();
    this.#startMs = now;
    this.#stopMs = now + (request.durationMs || maxDurationMs);
    this.#abortMs = now + maxDurationMs + timeouts.graceMs;
    this.#cpu.start();
    this.#open = expected;
    const fds = [...this.#fds].toSorted(([a], [b]) => a - b);
    for (const [, fd] of fds) this.#streams.push(this.#stream(fd));
  }

  #stream(fd: number): TestStream {
    const { loop, request, buffer } = this.#options;
    const { test, messageBytes, limitBytes } = request;
    const events = {
      onEnd: () => this.#onStreamEnd(),
      onFailure: (error: VsockboxError) => this.#end(error),
    };
    if (test === "latency") return new EchoStream({ loop, fd, messageBytes, ...events });
    return new BulkStream({
      ...{ loop, fd, ...events },
      message: test === "upload" ? undefined : this.#message,
      limitBytes: limitBytes === 0 ? Infinity : limitBytes,
      buffer: test === "download" ? undefined : buffer,
    });
  }

  #stop(): void {
    this.#stopMs = Infinity;
    for (const stream of this.#streams) stream.stopSending();
  }

  #onStreamEnd(): void {
    this.#open--;
    if (this.#open === 0) this.#finish();
  }

  #finish(): void {
    if (this.#startMs === undefined) return this.#end(unexpected("a stop before the start"));
    if (this.#result !== undefined) return;
    const { userUs, systemUs } = this.#cpu.elapsed();
    this.#result = {
      elapsedUs: Math.round((performance.now() - this.#startMs) * US_PER_MS),
      cpuUserUs: userUs,
      cpuSystemUs: systemUs,
      streams: this.#streams.map(({ receivedBytes, sentBytes }) => ({ receivedBytes, sentBytes })),
    };
    this.#control.send({ type: "result", result: this.#result });
  }

  /** After the result the client's close is the regular end. */
  #end(error: VsockboxError | undefined): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    for (const stream of this.#streams) stream.close();
    this.#control.close();
    for (const fd of this.#fds.values()) closeDescriptor(fd);
    const { control, request, peer, onEnd } = this.#options;
    closeDescriptor(control);
    const { connects } = this;
    const result = this.#result;
    onEnd({ request, peer, result, connects, error: result === undefined ? error : undefined });
  }
}

function unexpected(what: string): VsockboxError {
  return new VsockboxError({
    code: "BAD_DATA",
    operation: "continue with",
    address: "the test",
    message: `the client sent ${what}`,
  });
}

function tooLong(): VsockboxError {
  return new VsockboxError({
    code: "TIMEOUT",
    operation: "continue with",
    address: "the test",
    message: "it has not ended in time",
  });
}
