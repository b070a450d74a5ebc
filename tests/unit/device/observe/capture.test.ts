import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import {
  DEFAULT_RECORD_PAYLOAD_BYTES,
  MAX_RECORD_PAYLOAD_BYTES,
} from "../../../../src/protocols/pcap/vsock-record.ts";
import {
  VIRTIO_VSOCK_HEADER_BYTES,
  Op,
  PacketHeader,
} from "../../../../src/protocols/virtio-vsock/packet.ts";
import { Capture, type CaptureOptions } from "../../../../src/device/observe/capture.ts";
import { PieceList } from "../../../../src/device/vhost-user/memory-table.ts";
import { ScratchDirectory } from "../../../support/scratch-directory.ts";
import { readPcap } from "../../../support/pcap.ts";
import { bufferRegion, tableOf } from "../../../support/vhost.ts";

const MEMORY_BYTES = 0x1_0000;
const memory = new ArrayBuffer(MEMORY_BYTES);
const table = tableOf(bufferRegion(0, MEMORY_BYTES, { buffer: memory }));
for (let index = 0; index < MEMORY_BYTES; index++) new Uint8Array(memory)[index] = index % 251;

let scratch: ScratchDirectory;
beforeEach(() => {
  scratch = new ScratchDirectory();
});
afterEach(() => scratch[Symbol.dispose]());

const open = (options: Partial<CaptureOptions> = {}) =>
  new Capture({ file: scratch.file("x.pcap"), ...options }, () => undefined);

/** A packet in two pieces whose payload goes on through the memory; `claims` is what it says. */
function give(capture: Capture, bytes: number, claims = bytes): void {
  const header = new PacketHeader();
  header.op = Op.Rw;
  header.len = claims;
  const headerBytes = new Uint8Array(VIRTIO_VSOCK_HEADER_BYTES);
  header.write(new DataView(headerBytes.buffer), 0);
  const pieces = new PieceList(4);
  table.translate(0, VIRTIO_VSOCK_HEADER_BYTES + Math.min(bytes, 10), pieces);
  table.translate(VIRTIO_VSOCK_HEADER_BYTES + 10, Math.max(0, bytes - 10), pieces);
  capture.onPacket(header, headerBytes, table, pieces, claims);
}

const expected = (bytes: number) =>
  new Uint8Array(new Uint8Array(memory, VIRTIO_VSOCK_HEADER_BYTES, bytes).slice());

describe("a capture", () => {
  test("keeps the beginning of each payload, and knows its length", async () => {
    const capture = open();
    for (const bytes of [0, 5, 256, 257, 5000]) give(capture, bytes);
    // One that claims more than it has.
    give(capture, 100, 1_000_000);
    const facts = await capture.finish();
    const file = readFileSync(capture.file);
    expect(facts).toEqual({
      file: capture.file,
      payload_bytes: DEFAULT_RECORD_PAYLOAD_BYTES,
      packets: 6,
      bytes: file.length,
      packets_lost: 0,
    });
    const { packets } = readPcap(file);
    const kept = [0, 5, 256, 256, 256, 100];
    expect(packets.map(({ payload }) => payload)).toEqual(kept.map(expected));
    expect(packets.map(({ len }) => len)).toEqual([0, 5, 256, 257, 5000, 1_000_000]);
    expect(packets[4]?.originalBytes).toBe(32 + 44 + 5000);
    expect(statSync(capture.file).mode & 0o777).toBe(0o600);
  });

  test("keeps no payload, or all of it, on request", async () => {
    for (const [payloadBytes, kept] of [
      [0, 0],
      [MAX_RECORD_PAYLOAD_BYTES, 60_000],
    ] as const) {
      const capture = open({ payloadBytes, force: true });
      give(capture, 60_000);
      await capture.finish();
      const [packet] = readPcap(readFileSync(capture.file)).packets;
      expect(packet?.payload).toEqual(expected(kept));
    }
  });

  test("is in the file while it goes on", async () => {
    const capture = open();
    expect(readPcap(readFileSync(capture.file)).packets).toEqual([]);
    give(capture, 10);
    capture.onTime(performance.now() + 1000);
    while (readPcap(readFileSync(capture.file)).packets.length === 0) await Bun.sleep(1);
    await capture.finish();
  });

  test("loses what comes faster than it can be written, counts it, and keeps the rest whole", async () => {
    const capture = open({ payloadBytes: MAX_RECORD_PAYLOAD_BYTES });
    // No turn of the runtime in between: nothing is written before the end.
    for (let count = 0; count < 200; count++) give(capture, 60_000);
    const { packets, packets_lost: lost } = await capture.finish();
    expect(lost).toBeGreaterThan(0);
    expect(packets + lost).toBe(200);
    expect(readPcap(readFileSync(capture.file)).packets).toHaveLength(packets);
  });

  test("replaces an existing file only with force, and never anything but a regular file", async () => {
    const file = scratch.file("x.pcap");
    writeFileSync(file, "precious");
    expect(() => open()).toThrow("file exists");
    expect(readFileSync(file, "utf8")).toBe("precious");
    await open({ force: true }).finish();
    expect(readPcap(readFileSync(file)).packets).toEqual([]);
    symlinkSync(file, scratch.file("link"));
    mkdirSync(scratch.file("directory"));
    Bun.spawnSync(["mkfifo", scratch.file("fifo")]);
    for (const name of ["link", "directory", "fifo", "none/x"]) {
      expect(() => open({ file: scratch.file(name), force: true })).toThrow(
        expect.objectContaining({ code: "CANNOT_CREATE" }) as Error,
      );
    }
  });
});
