/** The packets of a VM of `hybrid-proxy` as a source: `GET /packets` of its control socket. */
import { randomBytes } from "node:crypto";
import { VsockboxError } from "../../errors.ts";
import { answerInTime } from "../../io/deadline.ts";
import type { SocketStream } from "../../io/stream.ts";
import { captureSource } from "../../monitor/capture-source.ts";
import type { PacketSource } from "../../monitor/packet-source.ts";
import { readStreamLoss } from "../../protocols/hybrid/control.ts";
import { ChunkedBodyReader } from "../../protocols/http/chunked-body.ts";
import { HttpResponseReader, readResponseHead } from "../../protocols/http/response.ts";
import { requestStatus } from "./control-client.ts";
import { controlError, dialControl, requestControl } from "./control-request.ts";

const OPERATION = "capture through";

/** Timeout of the beginning of the response, in milliseconds. */
const ANSWER_MS = 5000;

/** Largest response of a device that refuses, in bytes. */
const MAX_FAILURE_BYTES = 64 * 1024;

/** Packets are in the device for 100 ms and a round of its event loop at most, in milliseconds. */
const DRAIN_MS = 300;

/**
 * Starts a stream of packets.
 *
 * @param control the path of the control socket.
 * @param payloadBytes bytes of each payload that are sent.
 * @throws {VsockboxError} UNAVAILABLE, REFUSED, TIMEOUT; BAD_DATA for another program, or a device of an
 * older version.
 */
export async function openPackets(control: string, payloadBytes: number): Promise<PacketSource> {
  const before = await lostByAll(control);
  const name = randomBytes(16).toString("hex");
  const stream = await dialControl(control);
  const chunks = stream[Symbol.asyncIterator]();
  let first: Uint8Array;
  try {
    const begin = beginStream(stream, chunks, control, requestText(payloadBytes, name));
    first = await answerInTime(stream, begin, { milliseconds: ANSWER_MS, what: OPERATION });
  } catch (thrown) {
    stream.abort();
    throw thrown;
  }
  const capture = captureSource(bodyOf(first, chunks, control), control);
  return {
    ...capture,
    // The last packets are still in the device's memory.
    stop: () => void setTimeout(capture.stop, DRAIN_MS),
    lost: async () => (await lostByStream(control, name)) ?? (await lostByAll(control)) - before,
    close: () => stream.abort(),
  };
}

/** Returns what this open stream has lost; undefined from a device of an older version. */
async function lostByStream(control: string, name: string): Promise<number | undefined> {
  try {
    const path = `/packets/lost?stream=${name}` as const;
    return readStreamLoss(await requestControl(control, { operation: OPERATION, path }));
  } catch (thrown) {
    if (thrown instanceof VsockboxError && thrown.code === "BAD_DATA") return undefined;
    throw thrown;
  }
}

/** Returns what all captures and streams have lost. */
async function lostByAll(control: string): Promise<number> {
  return (await requestStatus(control)).counters.capture_packets_lost;
}

function requestText(payloadBytes: number, name: string): string {
  const path = `/packets?payload_bytes=${payloadBytes}&stream=${name}`;
  return `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
}

/** Returns the bytes after the head of the response. */
async function beginStream(
  stream: SocketStream,
  chunks: AsyncIterator<Uint8Array>,
  control: string,
  request: string,
): Promise<Uint8Array> {
  await stream.write(Buffer.from(request));
  let received: Uint8Array = new Uint8Array(0);
  for (;;) {
    const next = await chunks.next();
    if (next.done === true) throw ended(control);
    received = Buffer.concat([received, next.value]);
    const head = readResponseHead(received);
    if (head === undefined) continue;
    if (head.status !== 200 || !head.isChunked) throw await refusal(received, chunks, control);
    return received.subarray(head.headBytes);
  }
}

/** The error in a response that is not a stream. */
async function refusal(
  received: Uint8Array,
  chunks: AsyncIterator<Uint8Array>,
  control: string,
): Promise<VsockboxError> {
  const reader = new HttpResponseReader(MAX_FAILURE_BYTES);
  let response = reader.push(received);
  while (response === undefined) {
    const next = await chunks.next();
    response = next.done === true ? reader.end() : reader.push(next.value);
  }
  const error = controlError(OPERATION, control, response.body);
  // The request is right: the device does not know it.
  return error.code === "BAD_DATA"
    ? error.withHint("the device may run an older vsockbox: `vsockbox hybrid-proxy capture` works")
    : error;
}

async function* bodyOf(
  first: Uint8Array,
  chunks: AsyncIterator<Uint8Array>,
  control: string,
): AsyncGenerator<Uint8Array> {
  const reader = new ChunkedBodyReader();
  for (let piece = first; ;) {
    yield* reader.push(piece);
    const next = reader.isOver ? undefined : await chunks.next();
    if (next === undefined || next.done === true) throw ended(control);
    piece = next.value;
  }
}

function ended(control: string): VsockboxError {
  return new VsockboxError({
    code: "UNAVAILABLE",
    operation: OPERATION,
    address: control,
    message: "the device has closed",
  });
}
