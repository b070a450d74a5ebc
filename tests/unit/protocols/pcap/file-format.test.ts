import { expect, test } from "bun:test";
import {
  encodeFileHeader,
  encodeRecords,
  MAX_SNAP_BYTES,
} from "../../../../src/protocols/pcap/file-format.ts";
import { PcapReader } from "../../../../src/protocols/pcap/file-reader.ts";
import { readPcap } from "../../../support/pcap.ts";
import { packetBytes, pcapBytes } from "../../../support/vsock-packets.ts";

const whole = packetBytes({ payload: "0123456789" });
const record = (nanoseconds: number, bytes = whole, length = bytes.length) => ({
  seconds: 1_700_000_000,
  nanoseconds,
  bytes,
  length,
});

test("a file has the bytes that pcap-savefile(5) describes", () => {
  const records = encodeRecords([record(123_456_789), record(0)], MAX_SNAP_BYTES);
  const file = Buffer.concat([encodeFileHeader(MAX_SNAP_BYTES), records]);
  const expected = pcapBytes([{ bytes: whole }, { bytes: whole, fraction: 0 }]);
  expect(new Uint8Array(file)).toEqual(new Uint8Array(expected));
});

test("a record is cut at the snapshot length and keeps the original length", () => {
  const records = encodeRecords([record(0), record(0, whole.subarray(0, 40), 999)], 80);
  const { packets, snapBytes } = readPcap(
    Buffer.concat([encodeFileHeader(80), records.subarray(0, 96)]),
  );
  expect(snapBytes).toBe(80);
  expect(packets).toMatchObject([
    { payload: new Uint8Array(Buffer.from("0123")), originalBytes: 86 },
  ]);
  // The second has its 40 bytes: its headers are not complete.
  expect(records.length).toBe(16 + 80 + 16 + 40);
  expect(new DataView(records.buffer).getUint32(96 + 8, true)).toBe(40);
  expect(new DataView(records.buffer).getUint32(96 + 12, true)).toBe(999);
});

test("no records are encoded as no bytes", () => {
  expect(encodeRecords([], 80)).toHaveLength(0);
});

test.each(["microseconds", "nanoseconds"] as const)("times in %s come back", (unit) => {
  const reader = new PcapReader("x.pcap");
  const records = encodeRecords([record(123_456_789)], MAX_SNAP_BYTES, unit);
  const read = reader.push(Buffer.concat([encodeFileHeader(MAX_SNAP_BYTES, unit), records]));
  expect(reader.unit).toBe(unit);
  expect(read).toMatchObject([{ nanoseconds: unit === "nanoseconds" ? 123_456_789 : 123_456_000 }]);
});
