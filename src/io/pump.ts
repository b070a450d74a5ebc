/** Moving bytes between two ends with backpressure and half-close. */
import { toVsockboxError } from "../errors.ts";

/** A source of bytes: a stream, a child's output, standard input. */
export type ByteSource = AsyncIterable<Uint8Array>;

/** A source that can do without a new buffer for each chunk. */
export interface LendingSource extends ByteSource {
  /** Iterates likewise, but each chunk may only be used until the next one is requested. */
  lend(): ByteSource;
}

const isLending = (source: ByteSource): source is LendingSource =>
  "lend" in source && typeof source.lend === "function";

/** Returns the chunks of a source for a consumer that is done with each before it requests the next. */
export function lentChunks(source: ByteSource): ByteSource {
  return isLending(source) ? source.lend() : source;
}

/** A sink of bytes: `write` resolves when they are accepted, `end` half-closes. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<void>;
  end(): Promise<void>;
  /** If each write is one packet: how many bytes one may have in any case. */
  readonly packetBytes?: number | undefined;
}

/** Both directions of one connection. */
export interface Duplex extends ByteSource, ByteSink {
  abort(reason?: ReturnType<typeof toVsockboxError>): void;
}

/**
 * Copies until the source ends, then ends the sink.
 *
 * @returns how many bytes were copied.
 */
export async function copy(source: ByteSource, sink: ByteSink): Promise<number> {
  const { packetBytes } = sink;
  let bytes = 0;
  for await (const chunk of lentChunks(source)) {
    await writePackets(chunk, sink, packetBytes ?? chunk.length);
    bytes += chunk.length;
  }
  await sink.end();
  return bytes;
}

/** Writes a chunk, in as many packets as it needs if the sink has packets. */
async function writePackets(chunk: Uint8Array, sink: ByteSink, packetBytes: number): Promise<void> {
  if (chunk.length <= packetBytes) return await sink.write(chunk);
  for (let begin = 0; begin < chunk.length; begin += packetBytes) {
    await sink.write(chunk.subarray(begin, begin + packetBytes));
  }
}

/** One end of {@link pumpToClose}. */
export interface ClosableDuplex extends Duplex {
  /** Whether its peer reads no more: it has closed, or has shut down reading. */
  readonly isPeerGone: boolean;
  /** Whether its peer writes no more: it has closed, or has half-closed. */
  readonly hasPeerEnded: boolean;
  /** Reads no more: the peer's writes fail. */
  endInput(): void;
  close(): Promise<void>;
}

/** How often an end that has nothing more to send is asked whether its peer has closed, in milliseconds. */
const GONE_CHECK_MS = 250;

/**
 * Everything that an end's peer has sent. One that closes with bytes unread, such as an answer that it
 * does not want, resets a Unix socket: after its last byte that is its end.
 */
async function* untilClosed(from: ClosableDuplex): AsyncGenerator<Uint8Array> {
  try {
    yield* lentChunks(from);
  } catch (thrown) {
    if (!from.isPeerGone || toVsockboxError(thrown).errno !== "ECONNRESET") throw thrown;
  }
}

/**
 * Copies like {@link copy}. Bytes that the sink's peer no longer reads are dropped, since the other
 * direction may still have bytes of it to deliver: a client may close right after its data.
 */
async function copyWhileRead(from: ClosableDuplex, to: ClosableDuplex): Promise<void> {
  let isDropping = false;
  for await (const chunk of untilClosed(from)) {
    if (isDropping) continue;
    try {
      await to.write(chunk);
    } catch (thrown) {
      if (!to.isPeerGone) throw thrown;
      isDropping = true;
      // It goes on to write: only its reading has ended, which the writer has to see.
      if (!to.hasPeerEnded) from.endInput();
    }
  }
  await to.end();
}

/**
 * Joins two connections until both directions have ended, then closes them. Also ends if one side has
 * closed altogether, which at first looks like a half-close: its bytes still arrive, but no process waits
 * for an answer any longer.
 */
export async function pumpToClose(a: ClosableDuplex, b: ClosableDuplex): Promise<void> {
  const timers: Timer[] = [];
  const carry = async (from: ClosableDuplex, to: ClosableDuplex) => {
    await copyWhileRead(from, to);
    const timer = setInterval(() => {
      if (!from.isPeerGone) return;
      clearInterval(timer);
      void to.close();
    }, GONE_CHECK_MS);
    timers.push(timer);
  };
  try {
    await Promise.all([carry(a, b), carry(b, a)]);
    await Promise.all([a.close(), b.close()]);
  } catch (thrown) {
    const reason = toVsockboxError(thrown, "forward");
    a.abort(reason);
    b.abort(reason);
    throw reason;
  } finally {
    for (const timer of timers) clearInterval(timer);
  }
}
