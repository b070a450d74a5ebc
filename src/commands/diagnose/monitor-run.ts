/** The work of `vsockbox monitor`: packets from a source, through the filter, to an output. */
import { decodeVsockmon } from "../../protocols/pcap/vsockmon.ts";
import type { PacketRecord } from "../../protocols/pcap/file-format.ts";
import type { PacketFilter } from "../../monitor/packet-filter.ts";
import { packetMatcher } from "../../monitor/packet-filter.ts";
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
  filter: PacketFilter;
  /** Ends after so many packets that meet the filter. */
  limit: number;
}

/**
 * Moves packets until the source ends or the limit is reached.
 *
 * @param counts is counted up, also if it throws.
 */
export async function monitorPackets(
  batches: AsyncIterable<readonly PacketRecord[]>,
  output: PacketOutput,
  { filter, limit }: MonitorOptions,
  counts: MonitorCounts,
): Promise<void> {
  const matches = packetMatcher(filter);
  for await (const batch of batches) {
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
    await output.write(packets);
    if (counts.matched === limit) return;
  }
}
