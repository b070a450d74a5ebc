/** Rules of the requests of vhost-user: the feature that each needs, and whether it has a reply of its own. */
import { ProtocolFeature } from "./features.ts";
import { badVhostUserMessage, knownRequest, type RequestName } from "./wire.ts";

/** Rules of a request. */
interface RequestRule {
  /** Protocol feature that has to be negotiated before the request. */
  readonly gate: bigint;
  /** Whether it has a reply of its own, to which REPLY_ACK adds none. */
  readonly hasReply: boolean;
}

const rule = (gate: bigint, hasReply: boolean): RequestRule => ({ gate, hasReply });

const RULES: Readonly<Record<RequestName, RequestRule>> = {
  GET_FEATURES: rule(0n, true),
  SET_FEATURES: rule(0n, false),
  SET_OWNER: rule(0n, false),
  RESET_OWNER: rule(0n, false),
  SET_MEM_TABLE: rule(0n, false),
  SET_LOG_BASE: rule(0n, true),
  SET_LOG_FD: rule(0n, false),
  SET_VRING_NUM: rule(0n, false),
  SET_VRING_ADDR: rule(0n, false),
  SET_VRING_BASE: rule(0n, false),
  GET_VRING_BASE: rule(0n, true),
  SET_VRING_KICK: rule(0n, false),
  SET_VRING_CALL: rule(0n, false),
  SET_VRING_ERR: rule(0n, false),
  GET_PROTOCOL_FEATURES: rule(0n, true),
  SET_PROTOCOL_FEATURES: rule(0n, false),
  GET_QUEUE_NUM: rule(ProtocolFeature.MultipleQueues, true),
  SET_VRING_ENABLE: rule(0n, false),
  SET_BACKEND_REQ_FD: rule(ProtocolFeature.BackendRequests, false),
  GET_CONFIG: rule(ProtocolFeature.Config, true),
  SET_CONFIG: rule(ProtocolFeature.Config, false),
  RESET_DEVICE: rule(ProtocolFeature.ResetDevice, false),
  GET_MAX_MEM_SLOTS: rule(ProtocolFeature.ConfigureMemSlots, true),
  ADD_MEM_REG: rule(ProtocolFeature.ConfigureMemSlots, false),
  REM_MEM_REG: rule(ProtocolFeature.ConfigureMemSlots, false),
  SET_STATUS: rule(ProtocolFeature.Status, false),
  GET_STATUS: rule(ProtocolFeature.Status, true),
};

/**
 * Checks that the protocol feature of a request was negotiated.
 *
 * @param negotiated the protocol features that the VMM has set.
 * @throws {VsockboxError} BAD_DATA.
 */
export function checkNegotiated(name: RequestName, request: number, negotiated: bigint): void {
  const { gate } = RULES[name];
  if ((negotiated & gate) === gate) return;
  throw badVhostUserMessage(request, "its protocol feature was not negotiated");
}

/** Returns whether a request has a reply of its own; false for an unknown one. */
export function hasOwnReply(request: number): boolean {
  const name = knownRequest(request);
  return name !== undefined && RULES[name].hasReply;
}
