/** A session with the vhost-user back end, as QEMU 7.2 conducts it, and the memory that it offers. */
import type { VhostAction } from "../../src/protocols/vhost-user/actions.ts";
import { VhostBackend, type VhostBackendOptions } from "../../src/protocols/vhost-user/backend.ts";
import {
  encodeConfig,
  encodeReply,
  encodeRequest,
  encodeRingDescriptor,
  encodeU64,
} from "../../src/protocols/vhost-user/encode.ts";
import { DEFAULT_PROTOCOL_FEATURES } from "../../src/protocols/vhost-user/features.ts";
import { VhostUserMessageReader } from "../../src/protocols/vhost-user/message-reader.ts";
import { Request, type RequestName } from "../../src/protocols/vhost-user/wire.ts";

/** The configuration of a vsock device with the CID 4. */
export const CID = Uint8Array.of(4, 0, 0, 0, 0, 0, 0, 0);
/** The payload of a request that has none. */
export const NONE = new Uint8Array(0);
/** The memory below the hole of a PC. */
export const low = {
  guestAddress: 0,
  size: 0xa_0000,
  userAddress: 0x7f00_0000_0000,
  mmapOffset: 0,
};
/** The memory above it. */
export const high = {
  guestAddress: 0xc_0000,
  size: 0xff4_0000,
  userAddress: 0x7f00_000c_0000,
  mmapOffset: 0xc_0000,
};
/** Addresses of a ring in {@link high}. */
export const addresses = (ring: number) => ({
  descriptors: high.userAddress + ring * 0x1_0000,
  available: high.userAddress + ring * 0x1_0000 + 0x800,
  used: high.userAddress + ring * 0x1_0000 + 0x1000,
});

/** Returns a back end, and functions that send it messages. */
export function session(options: Partial<VhostBackendOptions> = {}) {
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

/** The reply to a request, as action. */
export const reply = (name: RequestName, payload: Uint8Array) => ({
  kind: "reply",
  bytes: encodeReply(Request[name], payload),
});
