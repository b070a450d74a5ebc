import { describe, expect, test } from "bun:test";
import { PacketStream } from "../../../../src/device/observe/packet-stream.ts";
import { PieceList } from "../../../../src/device/vhost-user/memory-table.ts";
import { joinTaps, type PacketTap } from "../../../../src/device/vsock/packet-tap.ts";
import {
  Op,
  PacketHeader,
  VIRTIO_VSOCK_HEADER_BYTES,
} from "../../../../src/protocols/virtio-vsock/packet.ts";
import { readPcap } from "../../../support/pcap.ts";
import { bufferRegion, tableOf } from "../../../support/vhost.ts";

const MEMORY_BYTES = 0x2_0000;
const memory = new ArrayBuffer(MEMORY_BYTES);
const table = tableOf(bufferRegion(0, MEMORY_BYTES, { buffer: memory }));

/** Passes a packet of so many bytes to a tap. */
function pass(tap: PacketTap, bytes: number): void {
  const header = new PacketHeader();
  header.op = Op.Rw;
  header.len = bytes;
  const headerBytes = new Uint8Array(VIRTIO_VSOCK_HEADER_BYTES);
  header.write(new DataView(headerBytes.buffer), 0);
  const pieces = new PieceList(4);
  table.translate(0, VIRTIO_VSOCK_HEADER_BYTES + bytes, pieces);
  tap.onPacket(header, headerBytes, table, pieces, bytes);
}

function open(payloadBytes = 10) {
  let closed = 0;
  const stream = new PacketStream(payloadBytes, () => void closed++);
  const reader = stream.body.getReader();
  const chunks: Uint8Array[] = [];
  const read = async () => {
    const { value } = await reader.read();
    if (value !== undefined) chunks.push(value);
  };
  return {
    stream,
    reader,
    read,
    file: () => readPcap(Buffer.concat(chunks)),
    closed: () => closed,
  };
}

describe("a stream of packets", () => {
  test("is a capture, whose header comes before any packet", async () => {
    const { stream, read, file } = open();
    await read();
    expect(file()).toEqual({ linkType: 271, snapBytes: 32 + 44 + 10, packets: [] });
    pass(stream, 7);
    pass(stream, 20);
    stream.onTime(performance.now() + 1000);
    await read();
    // The first write has been completed.
    await Bun.sleep(0);
    pass(stream, 3);
    stream.onTime(performance.now() + 2000);
    await read();
    expect(file().packets.map(({ len, payload }) => [len, payload.length])).toEqual([
      [7, 7],
      [20, 10],
      [3, 3],
    ]);
    expect([stream.packets, stream.lost]).toEqual([3, 0]);
  });

  test("counts what a reader that is too slow has lost, and sends the rest whole", async () => {
    const { stream, read, file } = open(60_000);
    for (let count = 0; count < 200; count++) {
      pass(stream, 60_000);
      stream.onTime(performance.now() + count * 1000);
      await Promise.resolve();
    }
    expect(stream.lost).toBeGreaterThan(0);
    expect(stream.packets + stream.lost).toBe(200);
    await read();
    while (file().packets.length < stream.packets) {
      stream.onTime(performance.now() + 1_000_000);
      await read();
    }
    expect(file().packets.every(({ payload }) => payload.length === 60_000)).toBe(true);
  });

  test("ends when its reader closes, also with packets on their way", async () => {
    const { stream, reader, read, closed } = open();
    await read();
    pass(stream, 1);
    stream.onTime(performance.now() + 1000);
    expect(closed()).toBe(0);
    await reader.cancel();
    expect(closed()).toBeGreaterThan(0);
    pass(stream, 1);
    stream.onTime(performance.now() + 2000);
    await stream.end();
  });
});

test("several taps receive each packet and each time", () => {
  expect(joinTaps([])).toBeUndefined();
  const seen: unknown[] = [];
  const tap = (name: string): PacketTap => ({
    onPacket: (...packet) => void seen.push([name, packet.length]),
    onTime: (now) => void seen.push([name, `time ${now}`]),
  });
  const [first, second] = [tap("a"), tap("b")];
  expect(joinTaps([first])).toBe(first);
  const joined = joinTaps([first, second]);
  if (joined === undefined) throw new Error("no tap");
  pass(joined, 1);
  joined.onTime(7);
  expect(seen).toEqual([
    ["a", 5],
    ["b", 5],
    ["a", "time 7"],
    ["b", "time 7"],
  ]);
});
