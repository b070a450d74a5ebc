import { describe, expect, test } from "bun:test";
import { type PacketFilter, packetMatcher } from "../../../src/monitor/packet-filter.ts";
import { decodeVsockmon } from "../../../src/protocols/pcap/vsockmon.ts";
import { packetBytes, type PacketFields } from "../../support/vsock-packets.ts";

const ALL: PacketFilter = { cids: [], ports: [], ops: [] };

function matches(filter: Partial<PacketFilter>, fields: PacketFields = {}): boolean {
  const packet = decodeVsockmon(packetBytes(fields), 76);
  if (packet === undefined) throw new Error("no packet");
  return packetMatcher({ ...ALL, ...filter })(packet);
}

describe("a filter", () => {
  test("without conditions lets everything pass", () => {
    expect(matches({})).toBe(true);
    expect(matches({}, { op: 99, transport: 1 })).toBe(true);
  });

  test("compares both ends", () => {
    // 2:1024 > 3:5000
    for (const cid of [2, 3]) expect(matches({ cids: [cid] })).toBe(true);
    expect(matches({ cids: [4] })).toBe(false);
    expect(matches({ cids: [4, 3] })).toBe(true);
    for (const port of [1024, 5000]) expect(matches({ ports: [port] })).toBe(true);
    expect(matches({ ports: [2, 3] })).toBe(false);
    expect(matches({ cids: [0] }, { srcCid: 1n << 32n, dstCid: 1n << 33n })).toBe(false);
  });

  test("needs each kind of condition", () => {
    expect(matches({ cids: [2], ports: [5000], ops: ["rst", "rw"] })).toBe(true);
    expect(matches({ cids: [2], ports: [5000], ops: ["rst"] })).toBe(false);
    expect(matches({ cids: [2], ports: [1], ops: ["rw"] })).toBe(false);
    expect(matches({ cids: [9], ports: [5000], ops: ["rw"] })).toBe(false);
  });

  test("by operation lets no packet pass whose operation is unknown", () => {
    expect(matches({ ops: ["rw"] }, { op: 99 })).toBe(false);
    expect(matches({ ops: ["rw"] }, { transport: 1 })).toBe(false);
  });
});
