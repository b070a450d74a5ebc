/** Where packets come from. */
import type { PacketRecord, TimeUnit } from "../protocols/pcap/file-format.ts";

/** A source of packets. */
export interface PacketSource {
  /** The unit that a capture of its packets has its times in. */
  readonly unit: TimeUnit;
  /**
   * Its packets, as many at once as there are; the bytes are valid until the next ones are requested.
   * Ends with the source's input, or when everything from before {@link stop} has been returned.
   */
  batches(): AsyncIterable<readonly PacketRecord[]>;
  /** Ends a live source: no new packets are captured. */
  stop(): void;
  /** Returns the packets that were lost, of a source that has ended. */
  lost(): Promise<number>;
  /** Releases the source. */
  close(): void;
}
