import { describe, expect, test } from "bun:test";
import { descriptorsOf, type VhostAction } from "../../../../src/protocols/vhost-user/actions.ts";
import {
  VhostBackend,
  type VhostBackendOptions,
} from "../../../../src/protocols/vhost-user/backend.ts";
import {
  encodeConfig,
  encodeRegion,
  encodeRegions,
  encodeReply,
  encodeRequest,
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
import { VhostUserMessageReader } from "../../../../src/protocols/vhost-user/message-reader.ts";
import { Request, type RequestName } from "../../../../src/protocols/vhost-user/wire.ts";

const CID = Uint8Array.of(4, 0, 0, 0, 0, 0, 0, 0);
const NONE = new Uint8Array(0);
const low = { guestAddress: 0, size: 0xa_0000, userAddress: 0x7f00_0000_0000, mmapOffset: 0 };
const high = {
  guestAddress: 0xc_0000,
  size: 0xff4_0000,
  userAddress: 0x7f00_000c_0000,
  mmapOffset: 0xc_0000,
};
const addresses = (ring: number) => ({
  descriptors: high.userAddress + ring * 0x1_0000,
  available: high.userAddress + ring * 0x1_0000 + 0x800,
  used: high.userAddress + ring * 0x1_0000 + 0x1000,
});

function session(options: Partial<VhostBackendOptions> = {}) {
  const backend = new VhostBackend({ config: CID, lastAvailable: () => 77, ...options });
  const send = (
    name: RequestName,
    payload: Uint8Array = NONE,
    fds: number[] = [],
    needReply = false,
  ): VhostAction[] => {
    const reader = new VhostUserMessageReader();
    const bytes = encodeRequest(name, payload, { needReply });
    const first = reader.push(bytes.subarray(0, 12), fds);
    const message = first ?? reader.push(bytes.subarray(12));
    if (message === undefined) throw new Error("no message");
    return backend.handle(message);
  };
  /** What QEMU 7.2 sends when it connects: 1 15 16 17 3 1 13*1 14*1 13*1 14*1 24. */
  const connect = () => {
    send("GET_FEATURES");
    send("GET_PROTOCOL_FEATURES");
    send("SET_PROTOCOL_FEATURES", encodeU64(DEFAULT_PROTOCOL_FEATURES));
    send("GET_QUEUE_NUM");
    send("SET_OWNER");
    send("GET_FEATURES");
    for (const ring of [0, 1]) {
      send("SET_VRING_CALL", encodeRingDescriptor(ring), [10 + ring]);
      send("SET_VRING_ERR", encodeRingDescriptor(ring), [20 + ring]);
    }
    send("GET_CONFIG", encodeConfig(0, new Uint8Array(8)));
  };
  return { backend, send, connect };
}

const reply = (name: RequestName, payload: Uint8Array) => ({
  kind: "reply",
  bytes: encodeReply(Request[name], payload),
});

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

    // And the VMM goes.
    const left = backend.end();
    expect(left.flatMap(descriptorsOf).toSorted()).toEqual([20, 21, 31, 51, 60, 70]);
    expect(left.map(({ kind }) => kind)).toContain("map-table");
    expect(backend.end()).toEqual([]);
  });
});

describe("rings", () => {
  test("start at once where the VMM knows no protocol features", () => {
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
  ])("%s is refused: %#", (name, payload, fds, message) => {
    const { send, connect } = session();
    connect();
    expect(() => send(name, payload, fds)).toThrow(message);
    expect(() => send(name, payload, fds)).toThrow(`vhost-user ${name}: `);
  });

  test("nothing that was not negotiated is answered", () => {
    const { send } = session();
    for (const name of ["GET_QUEUE_NUM", "GET_MAX_MEM_SLOTS", "GET_STATUS"] as const) {
      expect(() => send(name)).toThrow("its protocol feature was not negotiated");
    }
  });
});

describe("memory", () => {
  test("comes and goes by region", () => {
    const { send, connect } = session();
    connect();
    expect(send("GET_MAX_MEM_SLOTS")).toEqual([
      reply("GET_MAX_MEM_SLOTS", encodeU64(8n)),
    ] as VhostAction[]);
    expect(send("ADD_MEM_REG", encodeRegion(low), [5])).toEqual([
      { kind: "add-region", region: { ...low, fd: 5 } },
    ]);
    expect(() => send("ADD_MEM_REG", encodeRegion(low), [6])).toThrow("overlap");
    expect(send("REM_MEM_REG", encodeRegion({ ...low, mmapOffset: 99 }), [7], true)).toEqual([
      { kind: "remove-region", region: low },
      { kind: "close", fd: 7 },
      reply("REM_MEM_REG", encodeU64(0n)),
    ] as VhostAction[]);
    for (let slot = 0; slot < 8; slot++) {
      send("ADD_MEM_REG", encodeRegion({ ...low, guestAddress: slot * 2 ** 30 }), [5]);
    }
    const ninth = encodeRegion({ ...low, guestAddress: 2 ** 40 });
    expect(() => send("ADD_MEM_REG", ninth, [5])).toThrow("9 regions are above 8");
  });

  test("may not be more than a table of views can hold", () => {
    const { send } = session();
    const huge = { ...low, size: 2 ** 42 };
    const two = encodeRegions([huge, { ...huge, guestAddress: 2 ** 42 }]);
    expect(() => send("SET_MEM_TABLE", two, [5, 6])).toThrow("of memory are above");
  });
});

describe("the backend's own requests", () => {
  test("their descriptor is kept until there is another, or the end", () => {
    const { send, connect, backend } = session();
    connect();
    expect(send("SET_BACKEND_REQ_FD", NONE, [60])).toEqual([]);
    expect(send("SET_BACKEND_REQ_FD", NONE, [61])).toEqual([{ kind: "close", fd: 60 }]);
    expect(backend.end()).toContainEqual({ kind: "close", fd: 61 });
    expect(backend.end()).toEqual([]);
  });
});

describe("configuration", () => {
  test("is padded with zeros, and answered with nothing where there is none", () => {
    const { send, connect } = session();
    connect();
    const padded = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0);
    expect(send("GET_CONFIG", encodeConfig(4, new Uint8Array(8), 1))).toEqual([
      reply("GET_CONFIG", encodeConfig(4, padded, 1)),
    ] as VhostAction[]);
    expect(send("GET_CONFIG", encodeConfig(8, new Uint8Array(1)))).toEqual([
      reply("GET_CONFIG", NONE),
    ] as VhostAction[]);
  });

  test("is not the driver's to write", () => {
    const { send, connect } = session();
    connect();
    expect(send("SET_CONFIG", encodeConfig(0, CID))).toEqual([]);
    expect(send("SET_CONFIG", encodeConfig(0, CID), [], true)).toEqual([
      reply("SET_CONFIG", encodeU64(1n)),
    ] as VhostAction[]);
  });
});

describe("acknowledgements", () => {
  test("go to who negotiated them and asks", () => {
    const { backend, send, connect } = session();
    expect(send("SET_OWNER", NONE, [], true)).toEqual([]);
    connect();
    expect(send("SET_OWNER", NONE, [], true)).toEqual([
      reply("SET_OWNER", encodeU64(0n)),
    ] as VhostAction[]);
    expect(send("GET_FEATURES", NONE, [], true)).toHaveLength(1);
    const message = { request: Request.SET_VRING_NUM, payload: NONE, fds: [] };
    expect(backend.refusal({ ...message, flags: 9 })).toEqual(
      encodeReply(Request.SET_VRING_NUM, encodeU64(1n)),
    );
    expect(backend.refusal({ ...message, flags: 1 })).toBeUndefined();
    expect(backend.refusal({ ...message, request: 1, flags: 9 })).toBeUndefined();
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
