/** Connections of the client: connects, sends a request, and reads the answer, without an event loop. */
import { VsockboxError } from "../errors.ts";
import { ERRNO } from "../ffi/errno.ts";
import {
  closeDescriptor,
  pollDescriptor,
  POLLIN,
  readDescriptor,
  writeDescriptor,
} from "../ffi/socket.ts";
import { abortError, backoffDelay, delay, type Backoff } from "../io/deadline.ts";
import { formatAddress, type SocketAddress } from "../net/address.ts";
import { DEFAULT_CONNECT_TIMEOUT_MS, dialDescriptor, type DialOptions } from "../net/dial.ts";
import { WrongServiceError } from "../net/wrong-service.ts";
import {
  BENCH_VERSION,
  type BenchRequest,
  encodeBenchRequest,
  REQUEST_BYTES,
} from "../protocols/bench/request.ts";
import {
  type BenchResponse,
  decodeBenchResponse,
  RESPONSE_BYTES,
} from "../protocols/bench/response.ts";
import { type RecognisedService, recogniseService } from "../protocols/recognise-service.ts";

/** Blocking polls of a millisecond before the pauses of {@link BACKOFF}. */
const SHORT_POLLS = 20;

const BACKOFF: Backoff = { firstMs: 1, factor: 1.5, maxMs: 20 };

/** How long a wait may last, and what ends it. */
export interface Patience {
  /** By performance.now(). */
  deadline: number;
  signal: AbortSignal | undefined;
}

/**
 * Waits until a descriptor is readable. At first this blocks the thread for a millisecond at a time, which
 * is faster than a timer, and lets the runtime run in between.
 *
 * @returns false after the deadline.
 * @throws {VsockboxError} ABORTED.
 */
export async function becomesReadable(
  fd: number,
  { deadline, signal }: Patience,
): Promise<boolean> {
  for (let attempt = 0; ; attempt++) {
    const isShort = attempt < SHORT_POLLS;
    if (pollDescriptor(fd, POLLIN, isShort ? 1 : 0) !== 0) return true;
    if (performance.now() > deadline) return false;
    if (signal?.aborted === true) throw abortError(signal, "wait");
    if (isShort) await new Promise<void>((resolve) => setImmediate(resolve));
    else await delay(backoffDelay(BACKOFF, attempt - SHORT_POLLS), signal);
  }
}

/**
 * Reads until `buffer` is full or the peer has ended its output.
 *
 * @returns the count of bytes; undefined after the deadline.
 * @throws {VsockboxError} ABORTED.
 */
async function readUntilFull(
  fd: number,
  buffer: Uint8Array,
  patience: Patience,
): Promise<number | undefined> {
  let filled = 0;
  while (filled < buffer.length) {
    if (!(await becomesReadable(fd, patience))) return undefined;
    const count = readDescriptor(fd, buffer.subarray(filled));
    if (count === -ERRNO.EAGAIN || count === -ERRNO.EINTR) continue;
    if (count <= 0) return filled;
    filled += count;
  }
  return filled;
}

/** An accepted request. */
export interface BenchConnection {
  /** Non-blocking; the caller closes it. */
  fd: number;
  token: Uint8Array;
}

/**
 * Connects and sends a request.
 *
 * @throws {VsockboxError} as `dialDescriptor`, and: UNAVAILABLE if the peer closes without an answer,
 * BAD_DATA if it is another service or has another version, TIMEOUT, REFUSED (busy, too long), ABORTED.
 */
export async function connectBench(
  address: SocketAddress,
  request: BenchRequest,
  options: DialOptions,
): Promise<BenchConnection> {
  const { timeoutMs = DEFAULT_CONNECT_TIMEOUT_MS, signal } = options;
  const patience = { deadline: performance.now() + timeoutMs, signal };
  const fd = await dialDescriptor(address, options);
  try {
    return { fd, token: await exchange(fd, address, request, patience) };
  } catch (thrown) {
    closeDescriptor(fd);
    throw thrown;
  }
}

async function exchange(
  fd: number,
  address: SocketAddress,
  request: BenchRequest,
  patience: Patience,
): Promise<Uint8Array> {
  const sent = encodeBenchRequest(request);
  if (writeDescriptor(fd, sent) !== REQUEST_BYTES) throw closedEarly(address);
  const answer = new Uint8Array(RESPONSE_BYTES);
  const count = await readUntilFull(fd, answer, patience);
  if (count === 0) throw closedEarly(address);
  const head = answer.subarray(0, count ?? 0);
  return accepted(address, readResponse(address, head, sent, count === undefined));
}

function readResponse(
  address: SocketAddress,
  head: Uint8Array,
  sent: Uint8Array,
  isLate: boolean,
): BenchResponse {
  try {
    return decodeBenchResponse(head);
  } catch (thrown) {
    const service = serviceOf(head, sent);
    if (service !== undefined) throw new WrongServiceError(address, service, "bench", thrown);
    throw isLate ? noAnswer(address) : thrown;
  }
}

function serviceOf(head: Uint8Array, sent: Uint8Array): RecognisedService | undefined {
  const isEcho = head.length > 0 && head.every((byte, index) => byte === sent[index]);
  return isEcho ? "echo" : recogniseService(head);
}

function accepted(
  address: SocketAddress,
  { status, version, limit, token }: BenchResponse,
): Uint8Array {
  const shown = formatAddress(address);
  const refuse = (code: "REFUSED" | "BAD_DATA", message: string, hint?: string) =>
    new VsockboxError({ code, operation: "start a test with", address: shown, message, hint });
  switch (status) {
    case "accepted":
      return token;
    case "busy":
      throw refuse(
        "REFUSED",
        limit === 1 ? "it serves another client" : `it serves ${limit} other clients`,
        "try again later; `bench serve --max-clients N` serves more at once",
      );
    case "too-long":
      throw refuse(
        "REFUSED",
        `it ends tests after ${limit / 1000} s`,
        "a shorter --duration, or `bench serve --max-duration TIME`",
      );
    case "version":
      throw refuse(
        "BAD_DATA",
        `it has version ${version} of the protocol, and this is version ${BENCH_VERSION}`,
        "use the same release of vsockbox on both sides",
      );
    case "unknown-test":
      throw refuse("REFUSED", "it has ended the test already");
    case "invalid":
    case undefined:
      throw refuse("BAD_DATA", "it cannot read the request");
  }
}

function closedEarly(address: SocketAddress): VsockboxError {
  return new VsockboxError({
    code: "UNAVAILABLE",
    operation: "start a test with",
    address: formatAddress(address),
    message: "the peer closed the connection without an answer",
    hint: "does `vsockbox bench serve` listen there, and does its --allow-cid contain this side?",
  });
}

function noAnswer(address: SocketAddress): VsockboxError {
  return new VsockboxError({
    code: "TIMEOUT",
    operation: "start a test with",
    address: formatAddress(address),
    message: "no answer in time",
    hint: "does `vsockbox bench serve` listen there? `--connect-timeout TIME` waits longer",
  });
}
