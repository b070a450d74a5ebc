/** Packets as JSON: docs/json.md. */
import { encodeBase64 } from "../protocols/agent/base64.ts";
import type { PacketRecord } from "../protocols/pcap/file-format.ts";
import type { VsockPacket } from "../protocols/pcap/vsockmon.ts";
import { flagNames, monitorOpName, opName, socketTypeName } from "./packet-names.ts";

/**
 * Returns a packet as an object of JSON.
 *
 * @param hasPayload whether it contains the captured part of the payload.
 */
export function packetJson(
  { seconds, nanoseconds }: Pick<PacketRecord, "seconds" | "nanoseconds">,
  packet: VsockPacket,
  hasPayload: boolean,
): Record<string, unknown> {
  const { srcCid, srcPort, dstCid, dstPort, monitorOp, virtio, payload, payloadBytes } = packet;
  return {
    time_ms: seconds * 1000 + Math.floor(nanoseconds / 1000) / 1000,
    src_cid: Number(srcCid),
    src_port: srcPort,
    dst_cid: Number(dstCid),
    dst_port: dstPort,
    kind: monitorOpName(monitorOp),
    op: virtio === undefined ? null : (opName(virtio.op) ?? virtio.op),
    type: virtio === undefined ? null : (socketTypeName(virtio.type) ?? virtio.type),
    flags: virtio === undefined ? [] : flagNames(virtio.op, virtio.type, virtio.flags),
    length_bytes: virtio?.len ?? payloadBytes,
    buf_alloc_bytes: virtio?.bufAlloc ?? null,
    fwd_cnt_bytes: virtio?.fwdCnt ?? null,
    payload_base64: hasPayload ? encodeBase64(payload) : null,
  };
}
