/** The work of `vsockbox monitor`: packets from a source, through the filter, to an output. */
import { decodeVsockmon } from "../../protocols/pcap/vsockmon.ts";
import { type PacketFilter, packetMatcher } from "../../monitor/packet-filter.ts";
import type { PacketSource } from "../../monitor/packet-source.ts";
import type { MonitoredPacket, PacketOutput } from "./monitor-output.ts";

/** How many packets there were. */
export interface MonitorCounts {
  /** Received from the source. */
  packets: number;
  /** That met the filter, and were shown or written. */
  matched: number;
}

/** Options of {@link monitorPackets}. */
export interface MonitorOptions {
  source: PacketSource;
  output: PacketOutput;
  filter: PacketFilter;
  /** Ends after so many packets that meet the filter. */
  limit: number;
  /** Resolves when an output that does not accept more is not waited for any longer. */
  givenUp: Promise<void>;
}

/**
 * Moves packets until the source ends or the limit is reached.
 *
 * @param counts is counted up, also if it throws.
 */
export async function monitorPackets(
  { source, output, filter, limit, givenUp }: MonitorOptions,
  counts: MonitorCounts,
): Promise<void> {
  const matches = packetMatcher(filter);
  let isGivenUp = false;
  const giveUp = givenUp.then(() => {
    isGivenUp = true;
  });
  for await (const batch of source.batches()) {
    const packets: MonitoredPacket[] = [];
    for (const record of batch) {
      counts.packets++;
      const packet = decodeVsockmon(record.bytes, record.length);
      // One without addresses, as only a broken capture has it, meets no filter.
      if (packet === undefined || !matches(packet)) continue;
      packets.push({ record, packet });
      counts.matched++;
      if (counts.matched === limit) break;
    }
    await Promise.race([output.write(packets), giveUp]);
    if (counts.matched === limit || isGivenUp) return;
  }
}
