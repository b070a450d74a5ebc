/**
 * Packets as lines of text:
 *
 *     14:03:07.123456 2:1024 > 3:5000 REQUEST stream len 0 buf_alloc 262144 fwd_cnt 0
 *
 * then, on request, the payload as text on the same line, or as a dump of lines below it.
 */
import type { PacketRecord } from "../protocols/pcap/file-format.ts";
import type { VirtioFields, VsockPacket } from "../protocols/pcap/vsockmon.ts";
import { printableBytes } from "../text/printable.ts";
import { flagNames, monitorOpName, opName, socketTypeName } from "./packet-names.ts";

/** How the payload is shown. */
export type PayloadView = "none" | "text" | "hex";

/** Bytes of the payload on the line of the packet. */
const TEXT_BYTES = 64;

const BACKSLASH = 0x5c;
const QUOTE = 0x22;

/** Bytes on each line of a dump. */
const DUMP_BYTES = 16;

/** Bytes of a payload that are dumped: longer ones are cut, as a capture of whole packets may have them. */
const MAX_DUMP_BYTES = 4096;

/** Returns the lines of a packet. */
export function packetLines(
  time: Pick<PacketRecord, "seconds" | "nanoseconds">,
  packet: VsockPacket,
  payload: PayloadView,
): string[] {
  const { srcCid, srcPort, dstCid, dstPort, virtio } = packet;
  const line = [
    clockTime(time),
    `${srcCid}:${srcPort} > ${dstCid}:${dstPort}`,
    ...(virtio === undefined ? otherFields(packet) : virtioText(virtio)),
  ].join(" ");
  if (payload === "hex") return [line, ...dumpLines(packet)];
  if (payload === "none" || packet.payloadBytes === 0) return [line];
  return [`${line} ${textOf(packet)}`];
}

/** Returns the local time of day with microseconds. */
export function clockTime({
  seconds,
  nanoseconds,
}: Pick<PacketRecord, "seconds" | "nanoseconds">): string {
  const date = new Date(seconds * 1000);
  const pad = (value: number) => String(value).padStart(2, "0");
  const fraction = String(Math.floor(nanoseconds / 1000)).padStart(6, "0");
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${fraction}`;
}

function virtioText({ op, type, flags, len, bufAlloc, fwdCnt }: VirtioFields): string[] {
  const names = flagNames(op, type, flags);
  return [
    opName(op)?.toUpperCase().replace("-", "_") ?? `op ${op}`,
    socketTypeName(type) ?? `type ${type}`,
    ...(names.length === 0 ? [] : [`flags ${names.join(",")}`]),
    `len ${len} buf_alloc ${bufAlloc} fwd_cnt ${fwdCnt}`,
  ];
}

/** A packet of another transport, or a capture without its header. */
function otherFields({ monitorOp, transport, payloadBytes }: VsockPacket): string[] {
  return [monitorOpName(monitorOp), `transport ${transport}`, `len ${payloadBytes}`];
}

function textOf({ payload, payloadBytes }: VsockPacket): string {
  const shown = payload.subarray(0, TEXT_BYTES);
  const text = quotedText(wholeCharacters(shown, payload.length));
  const rest = payloadBytes - shown.length;
  return rest > 0 ? `"${text}"… (${rest} more bytes)` : `"${text}"`;
}

/** Escapes what stands for itself in a quoted text before the bytes that cannot be shown are escaped. */
function quotedText(bytes: Uint8Array): string {
  const escaped = [...bytes].flatMap((byte) =>
    byte === BACKSLASH || byte === QUOTE ? [BACKSLASH, byte] : [byte],
  );
  return printableBytes(Uint8Array.from(escaped));
}

/** Cuts a character of UTF-8 off that ends beyond these bytes. */
function wholeCharacters(bytes: Uint8Array, available: number): Uint8Array {
  if (bytes.length === available) return bytes;
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte >= 0xc0) {
      const size = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return size > back ? bytes.subarray(0, -back) : bytes;
    }
    if (byte < 0x80) return bytes;
  }
  return bytes;
}

/** Offset, 16 bytes in hexadecimal, and those of ASCII that are visible. */
function dumpLines({ payload, payloadBytes }: VsockPacket): string[] {
  const shown = payload.subarray(0, MAX_DUMP_BYTES);
  const lines = Array.from({ length: Math.ceil(shown.length / DUMP_BYTES) }, (_, row) => {
    const bytes = [...shown.subarray(row * DUMP_BYTES, (row + 1) * DUMP_BYTES)];
    const offset = (row * DUMP_BYTES).toString(16).padStart(4, "0");
    const hex = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = bytes.map((byte) =>
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".",
    );
    return `  ${offset}  ${hex.padEnd(DUMP_BYTES * 3 - 1)}  ${text.join("")}`;
  });
  const rest = payloadBytes - shown.length;
  return rest > 0 ? [...lines, `  … (${rest} more bytes)`] : lines;
}
