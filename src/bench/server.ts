/**
 * The server of `vsockbox bench`: reads the request of each connection, answers it, and passes the
 * connection to the test that it belongs to. Everything runs in one event loop, on one thread.
 *
 * A connection without a complete request, or without a close after the answer, is closed after
 * a timeout; connections beyond those that all tests may have are closed at once.
 */
import { randomBytes } from "node:crypto";
import { ERRNO } from "../ffi/errno.ts";
import { EPOLLIN } from "../ffi/epoll.ts";
import { closeDescriptor, readDescriptor, shutdownWrite, writeDescriptor } from "../ffi/socket.ts";
import type { EventLoop } from "../io/event-loop.ts";
import { formatPeerHost, peerOf } from "../io/peer.ts";
import {
  type BenchRequest,
  type TestRequest,
  decodeBenchRequest,
  MAX_STREAMS,
  mayBeRequest,
  type OtherVersion,
  REQUEST_BYTES,
  TOKEN_BYTES,
} from "../protocols/bench/request.ts";
import { encodeBenchResponse, type ResponseStatus } from "../protocols/bench/response.ts";
import { RECEIVE_BYTES } from "./bulk-stream.ts";
import { type ServedTest, ServerTest, type TestTimeouts } from "./server-test.ts";

/** Interval at which deadlines are checked, in milliseconds. */
const CHECK_MS = 100;

/** Connections without a test: of clients that connect, and of the test "connects". */
const SPARE_CONNECTIONS = 256;

/** Options of {@link BenchServer}. */
export interface BenchServerOptions {
  loop: EventLoop;
  /** Tests at once. */
  maxClients: number;
  /** The longest test, in milliseconds. */
  maxDurationMs: number;
  /** Called after each test. */
  onServed: (served: ServedTest) => void;
  /** (default: {@link TIMEOUTS}) */
  timeouts?: ServerTimeouts;
}

/** How long a server waits for its clients, in milliseconds. */
export interface ServerTimeouts extends TestTimeouts {
  /** For the request of a connection, and for its end after a refusal. */
  requestMs: number;
}

const TIMEOUTS: ServerTimeouts = { requestMs: 10_000, connectMs: 30_000, graceMs: 15_000 };

/** Serves the connections that it is given. */
export class BenchServer {
  readonly #options: BenchServerOptions;
  readonly #buffer = new Uint8Array(RECEIVE_BYTES);
  /** By their tokens in hexadecimal. */
  readonly #tests = new Map<string, ServerTest>();
  readonly #pending = new Set<PendingConnection>();
  #checkAtMs = 0;

  constructor(options: BenchServerOptions) {
    this.#options = options;
    options.loop.eachRound(() => this.#onRound());
  }

  /** Whether no connection is open. */
  get isIdle(): boolean {
    return this.#tests.size === 0 && this.#pending.size === 0;
  }

  /** Serves a connection, which the server owns from now on. */
  accept(fd: number): void {
    const { maxClients, loop, timeouts = TIMEOUTS } = this.#options;
    if (this.#pending.size >= maxClients * MAX_STREAMS + SPARE_CONNECTIONS) {
      return closeDescriptor(fd);
    }
    const pending = new PendingConnection({
      loop,
      fd,
      deadline: performance.now() + timeouts.requestMs,
      onRequest: (bytes) => this.#onRequest(pending, bytes),
      onEnd: () => void this.#pending.delete(pending),
    });
    this.#pending.add(pending);
  }

  /** Closes all connections. */
  close(): void {
    for (const test of this.#tests.values()) test.close();
    for (const pending of this.#pending) pending.close();
  }

  #onRequest(pending: PendingConnection, bytes: Uint8Array): void {
    let request: BenchRequest | OtherVersion;
    try {
      request = decodeBenchRequest(bytes);
    } catch {
      return pending.finish("invalid");
    }
    switch (request.kind) {
      case "other-version":
        return pending.finish("version");
      case "control":
        return this.#beginTest(pending, request);
      case "data": {
        const test = this.#testOf(request.token);
        const fd = pending.fd;
        const isAccepted = test?.addStream(request.stream, fd) ?? false;
        if (!isAccepted) return pending.finish("unknown-test");
        pending.release();
        return pending.answer("accepted");
      }
      case "connect": {
        const test = this.#testOf(request.token);
        if (test !== undefined) test.connects++;
        return pending.finish(test === undefined ? "unknown-test" : "accepted");
      }
    }
  }

  #testOf(token: Uint8Array): ServerTest | undefined {
    return this.#tests.get(token.toHex());
  }

  #beginTest(pending: PendingConnection, request: TestRequest): void {
    const { loop, maxClients, maxDurationMs, onServed, timeouts = TIMEOUTS } = this.#options;
    if (this.#tests.size >= maxClients) return pending.finish("busy", maxClients);
    if (request.durationMs > maxDurationMs) return pending.finish("too-long", maxDurationMs);
    const token = new Uint8Array(randomBytes(TOKEN_BYTES));
    const key = token.toHex();
    pending.release();
    pending.answer("accepted", 0, token);
    const test = new ServerTest({
      ...{ loop, request, control: pending.fd, maxDurationMs, timeouts, buffer: this.#buffer },
      peer: formatPeerHost(peerOf(pending.fd)),
      onEnd: (served) => {
        this.#tests.delete(key);
        onServed(served);
      },
    });
    this.#tests.set(key, test);
  }

  #onRound(): void {
    if (this.isIdle) return;
    const now = performance.now();
    if (now >= this.#checkAtMs) {
      this.#checkAtMs = now + CHECK_MS;
      for (const pending of this.#pending) pending.onTime(now);
    }
    for (const test of this.#tests.values()) {
      test.onTime(now);
      this.#options.loop.noLaterThan(test.nextTimeMs);
    }
    this.#options.loop.noLaterThan(this.#checkAtMs);
  }
}

interface PendingOptions {
  loop: EventLoop;
  fd: number;
  /** By performance.now(). */
  deadline: number;
  onRequest: (bytes: Uint8Array) => void;
  onEnd: () => void;
}

/** A connection that belongs to no test: its request is read, or its end is awaited. */
class PendingConnection {
  readonly #options: PendingOptions;
  readonly #request = new Uint8Array(REQUEST_BYTES);
  #filled = 0;
  #hasAnswered = false;

  constructor(options: PendingOptions) {
    this.#options = options;
    options.loop.add(options.fd, EPOLLIN, () => this.#read());
  }

  get fd(): number {
    return this.#options.fd;
  }

  onTime(now: number): void {
    if (now >= this.#options.deadline) this.close();
  }

  /** Sends the answer; 32 bytes fit into the buffer of a socket that has sent nothing. */
  answer(status: ResponseStatus, limit = 0, token?: Uint8Array): void {
    const response =
      token === undefined
        ? encodeBenchResponse(status, { limit })
        : encodeBenchResponse(status, { token });
    writeDescriptor(this.fd, response);
  }

  /** Sends the answer and half-closes; the peer closes. */
  finish(status: ResponseStatus, limit = 0): void {
    this.#hasAnswered = true;
    this.answer(status, limit);
    shutdownWrite(this.fd);
  }

  /** Leaves the descriptor to a test. */
  release(): void {
    this.#options.loop.remove(this.fd);
    this.#options.onEnd();
  }

  close(): void {
    this.release();
    closeDescriptor(this.fd);
  }

  #read(): void {
    // After the answer everything is discarded until the end.
    const target = this.#hasAnswered
      ? new Uint8Array(REQUEST_BYTES)
      : this.#request.subarray(this.#filled);
    const count = readDescriptor(this.fd, target);
    if (count === -ERRNO.EAGAIN || count === -ERRNO.EINTR) return;
    if (count <= 0) return this.close();
    if (this.#hasAnswered) return;
    this.#filled += count;
    if (this.#filled === REQUEST_BYTES || !mayBeRequest(this.#request.subarray(0, this.#filled))) {
      this.#options.onRequest(this.#request);
    }
  }
}
