/** Replies of the back end that need none of its state but the negotiated features. */
import { encodeConfig, encodeReply, encodeU64 } from "./encode.ts";
import { ProtocolFeature } from "./features.ts";
import { hasOwnReply } from "./request-rules.ts";
import { HeaderFlag, type VhostMessage } from "./wire.ts";

/** Payloads of an acknowledgement: zero is success. */
const DONE = 0n;
const FAILED = 1n;

/**
 * Returns the acknowledgement of a message, section "VHOST_USER_PROTOCOL_F_REPLY_ACK".
 *
 * @param negotiated the protocol features that the VMM has set.
 * @returns undefined if the VMM has not asked for one, or the request has a reply of its own.
 */
export function acknowledgementOf(
  message: VhostMessage,
  isDone: boolean,
  negotiated: bigint,
): Uint8Array | undefined {
  const isWanted = (message.flags & HeaderFlag.NeedReply) !== 0;
  const isNegotiated = (negotiated & ProtocolFeature.ReplyAck) !== 0n;
  if (!isWanted || !isNegotiated || hasOwnReply(message.request)) return undefined;
  return encodeReply(message.request, encodeU64(isDone ? DONE : FAILED));
}

/**
 * Returns the payload of the reply to GET_CONFIG: `size` bytes of the configuration from `offset` on,
 * zeros after its end. Beyond its end the payload is empty, which is the document's form of a refusal.
 */
export function configPayload(
  config: Uint8Array,
  { offset, size, flags }: { offset: number; size: number; flags: number },
): Uint8Array {
  if (offset >= config.length) return new Uint8Array(0);
  const bytes = new Uint8Array(size);
  bytes.set(config.subarray(offset, offset + size));
  return encodeConfig(offset, bytes, flags);
}
