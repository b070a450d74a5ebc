/** Where `vsockbox monitor` puts packets: lines, JSON, or a capture. */
import { reasonOf, VsockboxError } from "../../errors.ts";
import type { ByteSink } from "../../io/pump.ts";
import { CaptureFile, type CaptureFormat } from "../../monitor/capture-file.ts";
import { packetJson } from "../../monitor/packet-json.ts";
import { packetLines, type PayloadView } from "../../monitor/packet-line.ts";
import {
  encodeFileHeader,
  encodeRecords,
  type PacketRecord,
} from "../../protocols/pcap/file-format.ts";
import type { VsockPacket } from "../../protocols/pcap/vsockmon.ts";
import { printableJson } from "../../text/printable.ts";

/** A record and the packet in it. */
export interface MonitoredPacket {
  record: PacketRecord;
  packet: VsockPacket;
}

/** A receiver of packets. */
export interface PacketOutput {
  /** Resolves when the packets are accepted; their bytes may change from then on. */
  write(packets: readonly MonitoredPacket[]): Promise<void>;
  /** Releases the output. */
  close(): void;
}

const encoder = new TextEncoder();

/** Returns an output that prints a line a packet, or more with a dump of the payload. */
export function lineOutput(sink: ByteSink, payload: PayloadView): PacketOutput {
  return textOutput(sink, ({ record, packet }) => packetLines(record, packet, payload));
}

/** Returns an output that prints an object of JSON a packet. */
export function jsonOutput(sink: ByteSink, hasPayload: boolean): PacketOutput {
  return textOutput(sink, ({ record, packet }) => [
    printableJson(packetJson(record, packet, hasPayload)),
  ]);
}

function textOutput(
  sink: ByteSink,
  linesOf: (packet: MonitoredPacket) => readonly string[],
): PacketOutput {
  return {
    async write(packets) {
      const lines = packets.flatMap(linesOf);
      if (lines.length > 0) await sink.write(encoder.encode(`${lines.join("\n")}\n`));
    },
    close() {},
  };
}

/** Returns an output that writes a capture to a sink, beginning with its header. */
export async function streamOutput(
  sink: ByteSink,
  { snapBytes, unit }: CaptureFormat,
): Promise<PacketOutput> {
  await sink.write(encodeFileHeader(snapBytes, unit));
  return {
    write: (packets) =>
      sink.write(
        encodeRecords(
          packets.map(({ record }) => record),
          snapBytes,
          unit,
        ),
      ),
    close() {},
  };
}

/**
 * Returns an output that writes a capture to a file.
 *
 * @throws {VsockboxError} CANNOT_CREATE; its `write` IO.
 */
export function fileOutput(path: string, format: CaptureFormat, force: boolean): PacketOutput {
  const file = new CaptureFile(path, format, force);
  return {
    async write(packets) {
      const records = packets.map(({ record }) => record);
      try {
        await file.append(encodeRecords(records, format.snapBytes, format.unit));
      } catch (thrown) {
        const reason = reasonOf(thrown);
        throw new VsockboxError({ code: "IO", operation: "capture to", address: path, ...reason });
      }
    },
    close: () => file.close(),
  };
}
