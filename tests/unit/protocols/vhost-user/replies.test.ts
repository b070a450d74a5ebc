import { describe, expect, test } from "bun:test";
import type { VhostAction } from "../../../../src/protocols/vhost-user/actions.ts";
import {
  encodeConfig,
  encodeReply,
  encodeU64,
} from "../../../../src/protocols/vhost-user/encode.ts";
import { Request } from "../../../../src/protocols/vhost-user/wire.ts";
import { CID, NONE, reply, session } from "../../../support/vhost-session.ts";

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
