import { describe, expect, test } from "bun:test";
import {
  encodeRegion,
  encodeRegions,
  encodeRingDescriptor,
  encodeU64,
  encodeVringAddresses,
  encodeVringState,
} from "../../../../src/protocols/vhost-user/encode.ts";
import { Feature } from "../../../../src/protocols/vhost-user/features.ts";
import type { RequestName } from "../../../../src/protocols/vhost-user/wire.ts";
import { addresses, high, low, NONE, session } from "../../../support/vhost-session.ts";

describe("rings", () => {
  test("start at once if the VMM negotiates no protocol features", () => {
    const { send } = session();
    send("SET_FEATURES", encodeU64(Feature.Version1));
    send("SET_VRING_NUM", encodeVringState(1, 256));
    send("SET_VRING_ADDR", encodeVringAddresses(1, addresses(1)));
    expect(send("SET_VRING_KICK", encodeRingDescriptor(1), [9])).toMatchObject([
      { kind: "start", ring: 1 },
    ]);
    expect(send("SET_VRING_KICK", encodeRingDescriptor(1), [10])).toEqual([
      { kind: "kick", ring: 1, fd: 10 },
      { kind: "close", fd: 9 },
    ]);
    for (const [name, payload] of [
      ["SET_VRING_NUM", encodeVringState(1, 128)],
      ["SET_VRING_BASE", encodeVringState(1, 0)],
      ["SET_VRING_ADDR", encodeVringAddresses(1, addresses(0))],
      ["SET_FEATURES", encodeU64(0n)],
    ] as const) {
      expect(() => send(name, payload)).toThrow(/ring runs/);
    }
    expect(send("RESET_OWNER")).toEqual([{ kind: "enable", ring: 1, enabled: false }]);
  });

  test.each<[RequestName, Uint8Array, number[], string]>([
    ["SET_VRING_NUM", encodeVringState(3, 128), [], "ring 3 of 3"],
    ["SET_VRING_NUM", encodeVringState(0, 0), [], "not a power of two"],
    ["SET_VRING_NUM", encodeVringState(0, 96), [], "not a power of two"],
    ["SET_VRING_NUM", encodeVringState(0, 2048), [], "above 1024"],
    ["SET_VRING_NUM", encodeVringState(0, 0x8000_0000), [], "above 1024"],
    ["SET_VRING_BASE", encodeVringState(0, 65536), [], "above 65535"],
    ["SET_VRING_ADDR", encodeVringAddresses(0, addresses(0), 1), [], "flags 1"],
    [
      "SET_VRING_ADDR",
      encodeVringAddresses(0, { descriptors: 8, used: 0, available: 0 }),
      [],
      "16",
    ],
    ["SET_VRING_ADDR", encodeVringAddresses(0, { descriptors: 0, used: 2, available: 0 }), [], "4"],
    ["SET_VRING_KICK", encodeRingDescriptor(0, { hasDescriptor: false }), [], "polled"],
    ["SET_VRING_KICK", encodeRingDescriptor(9), [3], "ring 9"],
    ["SET_VRING_ENABLE", encodeVringState(0, 2), [], "state 2"],
    ["SET_FEATURES", encodeU64(1n << 28n), [], "features 0x10000000 were not offered"],
    ["SET_PROTOCOL_FEATURES", encodeU64(4n), [], "protocol features 0x4"],
    ["SET_LOG_BASE", new Uint8Array(16), [3], "logging"],
    ["RESET_DEVICE", NONE, [], "not negotiated"],
    ["SET_MEM_TABLE", encodeRegions([low, { ...high, guestAddress: 4096 }]), [3, 4], "overlap"],
    ["REM_MEM_REG", encodeRegion(low), [], "unknown memory region"],
  ])("%s with an invalid value is refused: %#", (name, payload, fds, message) => {
    const { send, connect } = session();
    connect();
    expect(() => send(name, payload, fds)).toThrow(message);
    expect(() => send(name, payload, fds)).toThrow(`vhost-user ${name}: `);
  });

  test("requests of features that were not negotiated are refused", () => {
    const { send } = session();
    for (const name of ["GET_QUEUE_NUM", "GET_MAX_MEM_SLOTS", "GET_STATUS"] as const) {
      expect(() => send(name)).toThrow("its protocol feature was not negotiated");
    }
  });
});

test("the size of a ring is a power of two up to the limit, and up to 32,768", () => {
  const { send } = session({ maxRingEntries: 100_000 });
  const isAccepted = (entries: number) => {
    try {
      send("SET_VRING_NUM", encodeVringState(0, entries));
      return true;
    } catch {
      return false;
    }
  };
  for (let power = 0; power <= 15; power++) expect(isAccepted(2 ** power)).toBe(true);
  expect([0, 3, 5, 6, 7, 9, 96, 32_767, 65_536].filter(isAccepted)).toEqual([]);
  const small = session({ maxRingEntries: 256 });
  small.send("SET_VRING_NUM", encodeVringState(0, 256));
  expect(() => small.send("SET_VRING_NUM", encodeVringState(0, 512))).toThrow("above 256");
});
