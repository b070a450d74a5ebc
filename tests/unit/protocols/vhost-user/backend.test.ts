import { describe, expect, test } from "bun:test";
import { descriptorsOf, type VhostAction } from "../../../../src/protocols/vhost-user/actions.ts";
import {
  encodeConfig,
  encodeRegions,
  encodeRingDescriptor,
  encodeU64,
  encodeVringAddresses,
  encodeVringState,
} from "../../../../src/protocols/vhost-user/encode.ts";
import {
  DEFAULT_FEATURES,
  DEFAULT_PROTOCOL_FEATURES,
  Feature,
  ProtocolFeature,
} from "../../../../src/protocols/vhost-user/features.ts";
import { addresses, CID, high, low, NONE, reply, session } from "../../../support/vhost-session.ts";

describe("a start of QEMU 7.2", () => {
  test("is answered, and its rings start when they are enabled", () => {
    const { backend, send, connect } = session();
    expect(send("GET_FEATURES")).toEqual([
      reply("GET_FEATURES", encodeU64(DEFAULT_FEATURES)),
    ] as VhostAction[]);
    expect(send("GET_PROTOCOL_FEATURES")).toEqual([
      reply("GET_PROTOCOL_FEATURES", encodeU64(DEFAULT_PROTOCOL_FEATURES)),
    ] as VhostAction[]);
    connect();
    expect(send("GET_QUEUE_NUM")).toEqual([reply("GET_QUEUE_NUM", encodeU64(3n))] as VhostAction[]);
    expect(send("GET_CONFIG", encodeConfig(0, new Uint8Array(8)))).toEqual([
      reply("GET_CONFIG", encodeConfig(0, CID)),
    ] as VhostAction[]);

    // The driver starts: 13*1 13*1 2 5*2 8 10 9 12*1 8 10 9 12*1 18 18 13*1 13*1.
    for (const ring of [0, 1]) {
      expect(send("SET_VRING_CALL", encodeRingDescriptor(ring), [30 + ring])).toEqual([
        { kind: "close", fd: 10 + ring },
      ]);
    }
    const features = Feature.Version1 | Feature.EventIndex | Feature.ProtocolFeatures;
    expect(send("SET_FEATURES", encodeU64(features), [], true)).toEqual([
      { kind: "features", features },
      reply("SET_FEATURES", encodeU64(0n)),
    ] as VhostAction[]);
    expect(send("SET_MEM_TABLE", encodeRegions([low, high]), [40, 41], true)).toEqual([
      {
        kind: "map-table",
        regions: [
          { ...low, fd: 40 },
          { ...high, fd: 41 },
        ],
      },
      reply("SET_MEM_TABLE", encodeU64(0n)),
    ] as VhostAction[]);
    for (const ring of [0, 1]) {
      expect(send("SET_VRING_NUM", encodeVringState(ring, 128))).toEqual([]);
      expect(send("SET_VRING_BASE", encodeVringState(ring, 5))).toEqual([]);
      expect(send("SET_VRING_ADDR", encodeVringAddresses(ring, addresses(ring)))).toEqual([]);
      expect(send("SET_VRING_KICK", encodeRingDescriptor(ring), [50 + ring])).toEqual([]);
      expect(backend.isRunning(ring)).toBe(false);
    }
    for (const ring of [0, 1]) {
      expect(send("SET_VRING_ENABLE", encodeVringState(ring, 1))).toEqual([
        {
          kind: "start",
          ring,
          setup: {
            entries: 128,
            addresses: addresses(ring),
            base: 5,
            kick: 50 + ring,
            call: 30 + ring,
            err: 20 + ring,
          },
        },
      ]);
    }
    expect(send("SET_VRING_CALL", encodeRingDescriptor(0), [60])).toEqual([
      { kind: "call", ring: 0, fd: 60 },
      { kind: "close", fd: 30 },
    ]);

    // The driver stops.
    expect(send("SET_VRING_ENABLE", encodeVringState(0, 0))).toEqual([
      { kind: "enable", ring: 0, enabled: false },
    ]);
    expect(send("GET_VRING_BASE", encodeVringState(0, 0))).toEqual([
      { kind: "stop", ring: 0 },
      { kind: "close", fd: 50 },
      reply("GET_VRING_BASE", encodeVringState(0, 77)),
    ] as VhostAction[]);
    expect(send("GET_VRING_BASE", encodeVringState(0, 0))).toHaveLength(1);
    expect(send("SET_VRING_ENABLE", encodeVringState(0, 1))).toEqual([]);
    expect(send("SET_VRING_KICK", encodeRingDescriptor(0), [70])).toMatchObject([
      { kind: "start", ring: 0, setup: { base: 77, kick: 70, call: 60 } },
    ]);

    // The VMM disconnects.
    const left = backend.end();
    expect(left.flatMap(descriptorsOf).toSorted()).toEqual([20, 21, 31, 51, 60, 70]);
    expect(left.map(({ kind }) => kind)).toContain("map-table");
    expect(backend.end()).toEqual([]);
  });
});

describe("the backend's own requests", () => {
  test("keep their descriptor until the next one, or the end of the connection", () => {
    const { send, connect, backend } = session();
    connect();
    expect(send("SET_BACKEND_REQ_FD", NONE, [60])).toEqual([]);
    expect(send("SET_BACKEND_REQ_FD", NONE, [61])).toEqual([{ kind: "close", fd: 60 }]);
    expect(backend.end()).toContainEqual({ kind: "close", fd: 61 });
    expect(backend.end()).toEqual([]);
  });
});

test("a reset stops all rings, by status or by message", () => {
  const protocolFeatures =
    DEFAULT_PROTOCOL_FEATURES | ProtocolFeature.Status | ProtocolFeature.ResetDevice;
  for (const [name, payload] of [
    ["SET_STATUS", encodeU64(0n)],
    ["RESET_DEVICE", NONE],
  ] as const) {
    const { backend, send } = session({ protocolFeatures });
    send("SET_PROTOCOL_FEATURES", encodeU64(protocolFeatures));
    send("SET_FEATURES", encodeU64(Feature.Version1));
    send("SET_STATUS", encodeU64(15n));
    expect(send("GET_STATUS")).toEqual([reply("GET_STATUS", encodeU64(15n))] as VhostAction[]);
    expect(() => send("SET_STATUS", encodeU64(256n))).toThrow("eight bits");
    send("SET_VRING_NUM", encodeVringState(1, 256));
    send("SET_VRING_ADDR", encodeVringAddresses(1, addresses(1)));
    send("SET_VRING_KICK", encodeRingDescriptor(1), [9]);
    expect(send(name, payload)).toEqual([
      { kind: "stop", ring: 1 },
      { kind: "close", fd: 9 },
      { kind: "reset" },
    ]);
    expect(backend.isRunning(1)).toBe(false);
    expect(send("GET_STATUS")).toEqual([reply("GET_STATUS", encodeU64(0n))] as VhostAction[]);
  }
});
