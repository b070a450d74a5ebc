/** Which packets are shown or written. */
import type { VsockPacket } from "../protocols/pcap/vsockmon.ts";
import { type OpName, opName } from "./packet-names.ts";

/** Conditions, all of which must hold; an empty list holds for every packet. */
export interface PacketFilter {
  /** Of the source or the destination. */
  cids: readonly number[];
  /** Of the source or the destination. */
  ports: readonly number[];
  ops: readonly OpName[];
}

/** Returns a function that returns whether a packet meets a filter. */
export function packetMatcher({
  cids,
  ports,
  ops,
}: PacketFilter): (packet: VsockPacket) => boolean {
  const [wantedCids, wantedPorts] = [new Set<number | bigint>(cids), new Set(ports)];
  const wantedOps = new Set<OpName | undefined>(ops);
  return ({ srcCid, dstCid, srcPort, dstPort, virtio }) =>
    (wantedCids.size === 0 || wantedCids.has(srcCid) || wantedCids.has(dstCid)) &&
    (wantedPorts.size === 0 || wantedPorts.has(srcPort) || wantedPorts.has(dstPort)) &&
    (wantedOps.size === 0 || (virtio !== undefined && wantedOps.has(opName(virtio.op))));
}
