import { describe, expect, test } from "bun:test";
import { VsockboxError } from "../../../../src/errors.ts";
import type { PacketRecord } from "../../../../src/protocols/pcap/file-format.ts";
import { PcapReader } from "../../../../src/protocols/pcap/file-reader.ts";
import { packetBytes, pcapBytes } from "../../../support/vsock-packets.ts";

const first = packetBytes({ payload: "first" });
const second = packetBytes({ payload: "the second" });
const packets = [
  { bytes: first, seconds: 1, fraction: 999_999 },
  { bytes: second, seconds: 0xffff_ffff, fraction: 7, length: 9000 },
];

function read(file: Uint8Array, chunkBytes = file.length): PacketRecord[] {
  const reader = new PcapReader("x.pcap");
  const records: PacketRecord[] = [];
  for (let at = 0; at < file.length; at += chunkBytes) {
    records.push(...reader.push(file.slice(at, at + chunkBytes)));
  }
  reader.end();
  // Of a Buffer only the bytes count.
  for (const record of records) record.bytes = new Uint8Array(record.bytes);
  return records;
}

function failure(run: () => unknown): VsockboxError {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof VsockboxError) return thrown;
    throw thrown;
  }
  throw new Error("it did not fail");
}

describe("a pcap file", () => {
  test.each([
    [true, false],
    [false, false],
    [true, true],
    [false, true],
  ])("is read: little-endian %p, nanoseconds %p", (isLittleEndian, hasNanoseconds) => {
    const unit = hasNanoseconds ? 1 : 1000;
    const expected = [
      { seconds: 1, nanoseconds: 999_999 * unit, bytes: first, length: first.length },
      { seconds: 0xffff_ffff, nanoseconds: 7 * unit, bytes: second, length: 9000 },
    ];
    const file = pcapBytes(packets, { isLittleEndian, hasNanoseconds });
    for (const chunkBytes of [1, 7, 24, 41, file.length]) {
      expect(read(file, chunkBytes)).toEqual(expected);
    }
  });

  test("may have no packets, and bits of frame check sequences beside the link type", () => {
    expect(read(pcapBytes([]))).toEqual([]);
    expect(read(pcapBytes([], { linkType: 0xf000_0000 + 271 }))).toEqual([]);
  });

  test("that is cut off has its complete packets, then an error with the offset", () => {
    const file = pcapBytes(packets);
    for (let length = 0; length < file.length; length++) {
      const reader = new PcapReader("x.pcap");
      const records = reader.push(file.slice(0, length));
      const firstEnd = 24 + 16 + first.length;
      expect(records.length).toBe(Number(length >= firstEnd));
      if (length === 24 || length === firstEnd) {
        reader.end();
        continue;
      }
      const error = failure(() => reader.end());
      expect([error.code, error.address]).toEqual(["BAD_DATA", "x.pcap"]);
      const where =
        length === 0
          ? "the file is empty"
          : length < 24
            ? "the file's header is cut off"
            : `the file ends within the packet at offset ${length < firstEnd ? 24 : firstEnd}`;
      expect(error.message).toBe(`cannot read capture x.pcap: ${where}`);
    }
  });

  test.each([
    ["another link type", pcapBytes([], { linkType: 1 }), "its link type is 1, not LINKTYPE_VSOCK"],
    ["another version", pcapBytes([], { version: 3 }), "version 3 of the format is unknown"],
    ["no pcap", new Uint8Array(Buffer.from("#!/bin/sh\n")), "not a pcap file"],
    [
      "a large packet",
      Uint8Array.from([...pcapBytes([]), ...new Uint8Array(8), 1, 0, 4, 0, 0, 0, 0, 0]),
      "the packet at offset 24 has 262145 bytes",
    ],
    [
      "a fraction of a second or more",
      pcapBytes([{ bytes: first, fraction: 1_000_000 }]),
      "the packet at offset 24 has an invalid time",
    ],
  ])("with %s is refused", (_, file, message) => {
    const error = failure(() => read(file));
    expect(error.code).toBe("BAD_DATA");
    expect(error.message).toContain(message);
  });

  test("has the largest packet that libpcap knows, and the last fraction of a second", () => {
    const bytes = new Uint8Array(262_144);
    expect(read(pcapBytes([{ bytes, fraction: 999_999 }]))).toMatchObject([
      { length: 262_144, nanoseconds: 999_999_000 },
    ]);
    const nanoseconds = pcapBytes([{ bytes: first, fraction: 1_000_000_000 }], {
      hasNanoseconds: true,
    });
    expect(failure(() => read(nanoseconds)).message).toContain("invalid time");
  });

  test("of the next format is refused with the command that converts it", () => {
    const error = failure(() => read(Uint8Array.of(0x0a, 0x0d, 0x0d, 0x0a, 0, 0, 0, 28)));
    expect(error.message).toContain("a pcapng file");
    expect(error.hint).toContain("editcap -F pcap");
  });
});
