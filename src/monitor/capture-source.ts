/** Packets from a pcap file or a stream of one. */
import { createReadStream } from "node:fs";
import { reasonOf, VsockboxError } from "../errors.ts";
import type { PacketRecord, TimeUnit } from "../protocols/pcap/file-format.ts";
import { PcapReader } from "../protocols/pcap/file-reader.ts";
import type { PacketSource } from "./packet-source.ts";

/** Bytes per read. */
const CHUNK_BYTES = 256 * 1024;

/**
 * Returns the packets of a capture, as many at once as a chunk has.
 *
 * @throws {VsockboxError} BAD_DATA if it is not a capture of vsock packets, or ends within a packet: after
 * the complete ones; and what the chunks throw.
 */
async function* packetsOf(
  chunks: AsyncIterable<Uint8Array>,
  reader: PcapReader,
): AsyncGenerator<PacketRecord[]> {
  for await (const chunk of chunks) {
    const records = reader.push(chunk);
    if (records.length > 0) yield records;
  }
  reader.end();
}

/**
 * Reads a file.
 *
 * @throws {VsockboxError} IO.
 */
export async function* fileChunks(path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(path, { highWaterMark: CHUNK_BYTES }) as AsyncIterable<Uint8Array>;
  } catch (thrown) {
    const reason = reasonOf(thrown);
    throw new VsockboxError({ code: "IO", operation: "read", address: path, ...reason });
  }
}

/** The packets of a capture. */
export interface CaptureSource extends PacketSource {
  /**
   * Reads the beginning, so that what is not a capture is known before anything is written.
   *
   * @throws {VsockboxError} as `batches`.
   */
  begin(): Promise<void>;
  /** Known after {@link begin}. */
  readonly unit: TimeUnit;
}

/**
 * Returns the packets of a capture as a source.
 *
 * @param name for errors.
 */
export function captureSource(chunks: AsyncIterable<Uint8Array>, name: string): CaptureSource {
  const reader = new PcapReader(name);
  const packets = packetsOf(chunks, reader);
  let first: ReturnType<typeof packets.next> | undefined;
  const stop = { isDue: false };
  // One a wait: a promise that lives as long as the source would keep each batch that it was raced with.
  let waiting: PromiseWithResolvers<undefined> | undefined;
  return {
    get unit() {
      return reader.unit ?? "microseconds";
    },
    async begin() {
      first ??= packets.next();
      await first;
    },
    async *batches() {
      while (!stop.isDue) {
        waiting = Promise.withResolvers();
        const read = first ?? packets.next();
        first = undefined;
        const next = await Promise.race([read, waiting.promise]);
        if (next === undefined || next.done === true) return;
        yield next.value;
      }
    },
    stop() {
      stop.isDue = true;
      waiting?.resolve(undefined);
    },
    lost: () => Promise.resolve(0),
    close() {},
  };
}
