import { describe, expect, test } from "bun:test";
import { VsockboxError } from "../../../../src/errors.ts";
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
import { VhostUserMessageReader } from "../../../../src/protocols/vhost-user/message-reader.ts";
import { decodeRequest, type VhostRequest } from "../../../../src/protocols/vhost-user/requests.ts";
import {
  type RegionDescription,
  Request,
  type RequestName,
  type VhostMessage,
} from "../../../../src/protocols/vhost-user/wire.ts";

/** Gives a reader all bytes as it wants them. */
function readAll(bytes: Uint8Array, fds: number[] = [], most = Infinity): VhostMessage[] {
  const reader = new VhostUserMessageReader();
  const messages: VhostMessage[] = [];
  let given = fds;
  for (let at = 0; at < bytes.length;) {
    const count = Math.min(reader.wanted, most);
    const message = reader.push(bytes.subarray(at, at + count), given);
    if (message !== undefined) messages.push(message);
    given = [];
    at += count;
  }
  expect(reader.atBoundary).toBe(true);
  expect(reader.takeDescriptors()).toEqual([]);
  return messages;
}

const decode = (name: RequestName, payload?: Uint8Array, fds: number[] = []) =>
  decodeRequest({ request: Request[name], flags: 1, payload: payload ?? new Uint8Array(0), fds });

const region: RegionDescription = {
  guestAddress: 0xc_0000,
  size: 0x1000_0000,
  userAddress: 0x7f12_3456_7000,
  mmapOffset: 0xc_0000,
};

const GOOD: [RequestName, Uint8Array, number[], object][] = [
  ["GET_FEATURES", new Uint8Array(0), [], {}],
  ["SET_FEATURES", encodeU64(0x1_7000_0000n), [], { value: 0x1_7000_0000n }],
  ["SET_OWNER", new Uint8Array(0), [], {}],
  ["RESET_OWNER", new Uint8Array(0), [], {}],
  ["SET_MEM_TABLE", encodeRegions([region, region]), [7, 8], { regions: [region, region] }],
  ["SET_LOG_BASE", new Uint8Array(16), [7], {}],
  ["SET_LOG_FD", new Uint8Array(0), [7], {}],
  ["SET_VRING_NUM", encodeVringState(1, 128), [], { ring: 1, value: 128 }],
  [
    "SET_VRING_ADDR",
    encodeVringAddresses(1, { descriptors: 16, used: 2 ** 47, available: 4096 }),
    [],
    { ring: 1, flags: 0, addresses: { descriptors: 16, used: 2 ** 47, available: 4096 } },
  ],
  ["SET_VRING_BASE", encodeVringState(0, 65535), [], { ring: 0, value: 65535 }],
  ["GET_VRING_BASE", encodeVringState(2, 0), [], { ring: 2, value: 0 }],
  ["SET_VRING_KICK", encodeRingDescriptor(1), [9], { ring: 1, fd: 9 }],
  [
    "SET_VRING_CALL",
    encodeRingDescriptor(2, { hasDescriptor: false }),
    [],
    { ring: 2, fd: undefined },
  ],
  ["SET_VRING_ERR", encodeRingDescriptor(255), [9], { ring: 255, fd: 9 }],
  ["GET_PROTOCOL_FEATURES", new Uint8Array(0), [], {}],
  ["SET_PROTOCOL_FEATURES", encodeU64(0x209n), [], { value: 0x209n }],
  ["GET_QUEUE_NUM", new Uint8Array(0), [], {}],
  ["SET_VRING_ENABLE", encodeVringState(0, 1), [], { ring: 0, value: 1 }],
  ["SET_BACKEND_REQ_FD", new Uint8Array(0), [7], {}],
  ["GET_CONFIG", encodeConfig(0, new Uint8Array(8)), [], { offset: 0, bytes: new Uint8Array(8) }],
  ["SET_CONFIG", encodeConfig(4, Uint8Array.of(1), 1), [], { offset: 4, flags: 1 }],
  ["RESET_DEVICE", new Uint8Array(0), [], {}],
  ["GET_MAX_MEM_SLOTS", new Uint8Array(0), [], {}],
  ["ADD_MEM_REG", encodeRegion(region), [5], { region }],
  ["REM_MEM_REG", encodeRegion(region), [], { region }],
  ["SET_STATUS", encodeU64(15n), [], { value: 15n }],
  ["GET_STATUS", new Uint8Array(0), [], {}],
];

describe("requests", () => {
  test("all are here", () => {
    expect(GOOD.map(([name]) => name).toSorted()).toEqual(
      (Object.keys(Request) as RequestName[]).toSorted(),
    );
  });

  test.each(GOOD)("%s comes out as it went in", (name, payload, fds, expected) => {
    const bytes = encodeRequest(name, payload, { needReply: true });
    for (const most of [1, 5, Infinity]) {
      const [message, ...more] = readAll(bytes, fds, most);
      expect(more).toEqual([]);
      if (message === undefined) throw new Error("no message");
      expect(message).toMatchObject({ request: Request[name], flags: 9, fds });
      expect(decodeRequest(message)).toMatchObject({ name, ...expected } as VhostRequest);
    }
  });

  test.each(GOOD)("%s of any other size is refused, with its name", (name, payload, fds) => {
    for (let size = 0; size <= payload.length + 9; size++) {
      const isValid =
        size === payload.length ||
        (name === "SET_LOG_BASE" && size >= 8 && size <= 16) ||
        (name === "SET_MEM_TABLE" && size > payload.length);
      if (isValid) continue;
      const other = new Uint8Array(size);
      other.set(payload.subarray(0, size));
      expect(() => decode(name, other, fds)).toThrow(`vhost-user ${name}: `);
    }
  });

  test.each(GOOD)("%s with another count of descriptors is refused", (name, payload, fds) => {
    const allowed = name === "REM_MEM_REG" || name === "SET_LOG_BASE" ? [0, 1] : [fds.length];
    for (let count = 0; count <= 8; count++) {
      if (allowed.includes(count)) continue;
      const many = Array.from({ length: count }, (_, index) => index + 3);
      expect(() => decode(name, payload, many)).toThrow("descriptor");
    }
  });

  test("an invalid value of a field is refused", () => {
    const table = (change: Partial<RegionDescription>) => () =>
      decode("SET_MEM_TABLE", encodeRegions([{ ...region, ...change }]), [3]);
    expect(table({ size: 0 })).toThrow("a region is empty");
    expect(table({ size: 2 ** 43 })).toThrow("above 4398046511104");
    expect(table({ guestAddress: 2 ** 53 - 4096 })).toThrow("ends above 2^53");
    expect(table({ userAddress: 2 ** 53 - 4096 })).toThrow("ends above 2^53");
    expect(table({ mmapOffset: 2 ** 53 - 4096 })).toThrow("ends above 2^53");
    expect(table({ guestAddress: 2 ** 60 })).toThrow("the guest address is above 2^53");
    const nine = Array.from({ length: 9 }, () => region);
    expect(() => decode("SET_MEM_TABLE", encodeRegions(nine), [3])).toThrow("bytes of payload");
    expect(() => decode("SET_VRING_KICK", encodeU64(0x200n), [3])).toThrow("unknown bits");
    expect(() => decode("SET_VRING_KICK", encodeU64(1n << 40n), [3])).toThrow("unknown bits");
    expect(() => decode("GET_CONFIG", encodeConfig(0, new Uint8Array(8), 4))).toThrow("flags 4");
    const lying = encodeConfig(0, new Uint8Array(8));
    lying[4] = 9;
    expect(() => decode("GET_CONFIG", lying)).toThrow("for 9 bytes of config");
    expect(() => decodeRequest({ request: 99, flags: 1, payload: lying, fds: [] })).toThrow(
      "vhost-user request 99: unknown",
    );
  });
});

describe("MessageReader", () => {
  test("keeps descriptors with their message, in pieces", () => {
    const reader = new VhostUserMessageReader();
    const bytes = encodeRequest("SET_MEM_TABLE", encodeRegions([region, region]));
    expect(reader.wanted).toBe(12);
    expect(reader.push(bytes.subarray(0, 3), [5])).toBeUndefined();
    expect(reader.wanted).toBe(9);
    expect(reader.push(bytes.subarray(3, 12))).toBeUndefined();
    expect(reader.wanted).toBe(72);
    expect(reader.push(bytes.subarray(12), [6])).toMatchObject({ fds: [5, 6] });
    expect(reader.wanted).toBe(12);
  });

  test("returns the descriptors of an incomplete message", () => {
    const reader = new VhostUserMessageReader();
    reader.push(encodeRequest("SET_VRING_KICK", encodeU64(0n)).subarray(0, 12), [5, 6]);
    expect(reader.atBoundary).toBe(false);
    expect(reader.takeDescriptors()).toEqual([5, 6]);
    expect(reader.takeDescriptors()).toEqual([]);
    const many = Array.from({ length: 9 }, (_, index) => index);
    expect(() => reader.push(new Uint8Array(0), many)).toThrow("more than 8 descriptors");
    expect(reader.takeDescriptors()).toEqual(many);
  });

  const header = (request: number, flags: number, size: number) =>
    new Uint8Array(Uint32Array.of(request, flags, size).buffer);

  test.each([
    [header(1, 0, 0), "GET_FEATURES: version 0"],
    [header(1, 2, 0), "version 2"],
    [header(1, 5, 0), "a reply to nothing"],
    [header(1, 0x11, 0), "unknown flags"],
    [header(1, 0x8000_0001, 0), "unknown flags"],
    [header(5, 1, 4097), "a payload of 4097 bytes is above 4096"],
    [header(5, 1, 0xffff_ffff), "a payload of 4294967295 bytes"],
  ])("refuses a bad header %#", (bytes, message) => {
    const push = () => new VhostUserMessageReader().push(bytes);
    expect(push).toThrow(message);
    expect(push).toThrow(VsockboxError);
  });

  test("does not accept more descriptors than it needs", () => {
    expect(() => new VhostUserMessageReader().push(new Uint8Array(13))).toThrow(
      "13 bytes were passed",
    );
  });
});

test("a reply has its flag and version", () => {
  expect([...encodeReply(1, encodeU64(3n))]).toEqual([
    1, 0, 0, 0, 5, 0, 0, 0, 8, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0,
  ]);
});

/** A start of QEMU 7.2 with a 256 MiB guest, byte by byte from its document, and how many descriptors. */
const QEMU_START: [hex: string, fds: number, expected: object][] = [
  ["01000000 01000000 00000000", 0, { name: "GET_FEATURES" }],
  ["0f000000 01000000 00000000", 0, { name: "GET_PROTOCOL_FEATURES" }],
  [
    "10000000 01000000 08000000 0982000000000000",
    0,
    { name: "SET_PROTOCOL_FEATURES", value: 0x8209n },
  ],
  ["11000000 01000000 00000000", 0, { name: "GET_QUEUE_NUM" }],
  ["03000000 01000000 00000000", 0, { name: "SET_OWNER" }],
  ["01000000 01000000 00000000", 0, { name: "GET_FEATURES" }],
  ["0d000000 01000000 08000000 0000000000000000", 1, { name: "SET_VRING_CALL", ring: 0, fd: 3 }],
  ["0e000000 01000000 08000000 0000000000000000", 1, { name: "SET_VRING_ERR", ring: 0, fd: 3 }],
  ["0d000000 01000000 08000000 0100000000000000", 1, { name: "SET_VRING_CALL", ring: 1, fd: 3 }],
  ["0e000000 01000000 08000000 0100000000000000", 1, { name: "SET_VRING_ERR", ring: 1, fd: 3 }],
  [
    "18000000 01000000 14000000 00000000 08000000 00000000 0000000000000000",
    0,
    { name: "GET_CONFIG", offset: 0, flags: 0, bytes: new Uint8Array(8) },
  ],
  [
    "02000000 09000000 08000000 0000006001000000",
    0,
    { name: "SET_FEATURES", value: 0x1_6000_0000n },
  ],
  [
    "05000000 09000000 48000000 02000000 00000000 " +
      "0000000000000000 00000a0000000000 0000e0d3fe7f0000 0000000000000000 " +
      "00000c0000000000 0000f40f00000000 0000ecd3fe7f0000 00000c0000000000",
    2,
    {
      name: "SET_MEM_TABLE",
      regions: [
        { guestAddress: 0, size: 0xa_0000, userAddress: 0x7ffe_d3e0_0000, mmapOffset: 0 },
        {
          guestAddress: 0xc_0000,
          size: 0xff4_0000,
          userAddress: 0x7ffe_d3ec_0000,
          mmapOffset: 0xc_0000,
        },
      ],
    },
  ],
  [
    "08000000 01000000 08000000 00000000 80000000",
    0,
    { name: "SET_VRING_NUM", ring: 0, value: 128 },
  ],
  [
    "0a000000 01000000 08000000 00000000 00000000",
    0,
    { name: "SET_VRING_BASE", ring: 0, value: 0 },
  ],
  [
    "09000000 09000000 28000000 01000000 00000000 " +
      "0000e1d3fe7f0000 4019e1d3fe7f0000 0018e1d3fe7f0000 0000000000000000",
    0,
    {
      name: "SET_VRING_ADDR",
      ring: 1,
      flags: 0,
      addresses: {
        descriptors: 0x7ffe_d3e1_0000,
        used: 0x7ffe_d3e1_1940,
        available: 0x7ffe_d3e1_1800,
      },
    },
  ],
  ["0c000000 01000000 08000000 0100000000000000", 1, { name: "SET_VRING_KICK", ring: 1, fd: 3 }],
  [
    "12000000 01000000 08000000 01000000 01000000",
    0,
    { name: "SET_VRING_ENABLE", ring: 1, value: 1 },
  ],
  [
    "0b000000 01000000 08000000 01000000 00000000",
    0,
    { name: "GET_VRING_BASE", ring: 1, value: 0 },
  ],
];

test.each(QEMU_START)("QEMU's bytes %s", (hex, count, expected) => {
  const bytes = new Uint8Array(Buffer.from(hex.replaceAll(" ", ""), "hex"));
  const fds = Array.from({ length: count }, (_, index) => index + 3);
  const requests = readAll(bytes, fds, 7).map(decodeRequest);
  expect(requests).toEqual([expected as VhostRequest]);
});
