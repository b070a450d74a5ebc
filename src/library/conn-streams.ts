/** Connections as streams of the Web and of Node. */
import { Duplex } from "node:stream";
import { toVsockboxError } from "../errors.ts";

/** The connection of a stream. */
export interface StreamedConn {
  read(): Promise<Uint8Array | undefined>;
  write(bytes: Uint8Array): Promise<void>;
  closeRead(): void;
  closeWrite(): Promise<void>;
  close(): Promise<void>;
}

/** Nothing is read before it is asked for, so that reads of the connection itself lose nothing. */
const NO_READ_AHEAD = { highWaterMark: 0 };

/** Returns the input as a Web stream. */
export function readableOf(conn: StreamedConn): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const bytes = await conn.read();
        if (bytes === undefined) controller.close();
        else controller.enqueue(bytes);
      },
      cancel: () => conn.closeRead(),
    },
    NO_READ_AHEAD,
  );
}

/** Returns the output as a Web stream. */
export function writableOf(conn: StreamedConn): WritableStream<Uint8Array> {
  return new WritableStream<Uint8Array>({
    write: (bytes) => conn.write(bytes),
    close: () => conn.closeWrite(),
    abort: () => conn.close(),
  });
}

/** Returns both directions as a stream of Node. */
export function duplexOf(conn: StreamedConn): Duplex {
  const duplex: Duplex = new Duplex({
    readableHighWaterMark: 0,
    read() {
      conn.read().then(
        (bytes) => duplex.push(bytes ?? null),
        (thrown: unknown) => duplex.destroy(toVsockboxError(thrown)),
      );
    },
    write: (chunk: Uint8Array, _encoding, callback) => void settle(conn.write(chunk), callback),
    final: (callback) => void settle(conn.closeWrite(), callback),
    destroy: (error, callback) =>
      void settle(conn.close(), (failure) => callback(failure ?? error)),
  });
  return duplex;
}

async function settle(
  done: Promise<void>,
  callback: (error?: Error | null) => void,
): Promise<void> {
  let failure: Error | undefined;
  try {
    await done;
  } catch (thrown) {
    failure = toVsockboxError(thrown);
  }
  callback(failure);
}
