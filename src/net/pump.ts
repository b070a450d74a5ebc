/** Moving bytes between two ends with backpressure and half-close. */
import { toVsockboxError } from "../errors.ts";

/** Anything that gives bytes: a stream, a child's output, standard input. */
export type ByteSource = AsyncIterable<Uint8Array>;

/** Anything that takes bytes: `write` resolves when they are taken, `end` says that no more come. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<void>;
  end(): Promise<void>;
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
  let bytes = 0;
  for await (const chunk of source) {
    await sink.write(chunk);
    bytes += chunk.length;
  }
  await sink.end();
  return bytes;
}

/**
 * Joins two connections until both directions have ended; the end of one direction is handed on as
 * a half-close while the other goes on. An error in either direction aborts both.
 *
 * @returns how many bytes went from `a` to `b` and back.
 */
export async function pump(a: Duplex, b: Duplex): Promise<{ forward: number; back: number }> {
  try {
    const [forward, back] = await Promise.all([copy(a, b), copy(b, a)]);
    return { forward, back };
  } catch (thrown) {
    const reason = toVsockboxError(thrown, "pump");
    a.abort(reason);
    b.abort(reason);
    throw reason;
  }
}

/** What {@link pumpToClose} asks of an end: whether its peer has closed both directions. */
export interface ClosableDuplex extends Duplex {
  readonly isPeerGone: boolean;
  close(): Promise<void>;
}

/** How often an end that has nothing more to say is asked whether its peer is gone. */
const GONE_CHECK_MS = 250;

/**
 * {@link pump}, then closes both. Also ends where one side has closed altogether, which at first
 * looks like a half-close: what it sent still arrives, but nobody waits for an answer any more.
 */
export async function pumpToClose(a: ClosableDuplex, b: ClosableDuplex): Promise<void> {
  const timers: Timer[] = [];
  const endWith = (from: ClosableDuplex, to: ClosableDuplex): ByteSink => ({
    write: (bytes) => to.write(bytes),
    async end() {
      await to.end();
      const timer = setInterval(() => {
        if (!from.isPeerGone) return;
        clearInterval(timer);
        void to.close();
      }, GONE_CHECK_MS);
      timers.push(timer);
    },
  });
  try {
    await Promise.all([copy(a, endWith(a, b)), copy(b, endWith(b, a))]);
    await Promise.all([a.close(), b.close()]);
  } catch (thrown) {
    const reason = toVsockboxError(thrown, "pump");
    a.abort(reason);
    b.abort(reason);
    throw reason;
  } finally {
    for (const timer of timers) clearInterval(timer);
  }
}
