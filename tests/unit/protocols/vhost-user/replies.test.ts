import { describe, expect, test } from "bun:test";
import type { VhostAction } from "../../../../src/protocols/vhost-user/actions.ts";
import {
  encodeConfig,
  encodeRegion,
  encodeRegions,
  encodeReply,
  encodeRingDescriptor,
  encodeU64,
  encodeVringAddresses,
  encodeVringState,
} from "../../../../src/protocols/vhost-user/encode.ts";
import {
  DEFAULT_PROTOCOL_FEATURES,
  Feature,
  ProtocolFeature,
} from "../../../../src/protocols/vhost-user/features.ts";
import { Request } from "../../../../src/protocols/vhost-user/wire.ts";
import { addresses, CID, high, low, NONE, reply, session } from "../../../support/vhost-session.ts";

describe("configuration", () => {
  test("is padded with zeros, and the reply beyond its end is empty", () => {
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

  test("cannot be written by the driver", () => {
    const { send, connect } = session();
    connect();
    expect(send("SET_CONFIG", encodeConfig(0, CID))).toEqual([]);
    expect(send("SET_CONFIG", encodeConfig(0, CID), [], true)).toEqual([
      reply("SET_CONFIG", encodeU64(1n)),
    ] as VhostAction[]);
  });
});

describe("acknowledgements", () => {
  test("are sent if they were negotiated and the message asks for one", () => {
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

test("each request that is performed is acknowledged with success, if it has no reply of its own", () => {
  const all = DEFAULT_PROTOCOL_FEATURES | ProtocolFeature.Status | ProtocolFeature.ResetDevice;
  const { send } = session({ protocolFeatures: all });
  send("SET_PROTOCOL_FEATURES", encodeU64(all));
  for (const [name, payload, fds] of [
    ["SET_PROTOCOL_FEATURES", encodeU64(all), []],
    ["SET_FEATURES", encodeU64(Feature.Version1 | Feature.ProtocolFeatures), []],
    ["SET_OWNER", NONE, []],
    ["RESET_OWNER", NONE, []],
    ["SET_STATUS", encodeU64(1n), []],
    ["SET_BACKEND_REQ_FD", NONE, [9]],
    ["SET_MEM_TABLE", encodeRegions([low]), [3]],
    ["ADD_MEM_REG", encodeRegion(high), [4]],
    ["REM_MEM_REG", encodeRegion(high), [5]],
    ["SET_VRING_NUM", encodeVringState(0, 128), []],
    ["SET_VRING_BASE", encodeVringState(0, 0), []],
    ["SET_VRING_ADDR", encodeVringAddresses(0, addresses(0)), []],
    ["SET_VRING_CALL", encodeRingDescriptor(0), [6]],
    ["SET_VRING_ERR", encodeRingDescriptor(0), [7]],
    ["SET_VRING_KICK", encodeRingDescriptor(0), [8]],
    ["SET_VRING_ENABLE", encodeVringState(0, 1), []],
    ["RESET_DEVICE", NONE, []],
  ] as const) {
    expect(send(name, payload, [...fds], true).at(-1)).toEqual(
      reply(name, encodeU64(0n)) as VhostAction,
    );
  }
});
