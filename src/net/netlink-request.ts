/** One netlink request and its answer. */
import { type Operation } from "../operations.ts";
import { systemError } from "../ffi/errno.ts";
import type { NetlinkSocket } from "../ffi/netlink.ts";
import { type NetlinkAnswer, NetlinkAnswerReader } from "../protocols/netlink/answer.ts";
import { encodeNetlinkMessage, NetlinkFlag } from "../protocols/netlink/message.ts";

/** How long the kernel may take to answer, in milliseconds; it answers at once. */
const TIMEOUT_MS = 10_000;

/** Most entries of a dump; a kernel has at most 2^20 descriptors for one process. */
const MAX_MESSAGES = 4_194_304;

/** How often a dump is repeated if the table changed during it. */
const MAX_ATTEMPTS = 5;

/** A request. */
export interface NetlinkRequest {
  type: number;
  /** Flags besides `Request` and `Ack`; a dump has {@link NetlinkFlag.Dump}. */
  flags?: number;
  payload: Uint8Array;
  /** The operation, for errors: "list links". */
  operation: Operation;
  /** The object of the operation. */
  address?: string;
}

let lastSequence = 0;

function ask(socket: NetlinkSocket, { type, flags = 0, payload }: NetlinkRequest): NetlinkAnswer {
  const sequence = ++lastSequence;
  // An acknowledgement of a dump would come before its first entry.
  const isDump = (flags & NetlinkFlag.Dump) === NetlinkFlag.Dump;
  const all = flags | NetlinkFlag.Request | (isDump ? 0 : NetlinkFlag.Ack);
  socket.send(encodeNetlinkMessage({ type, flags: all, sequence, port: 0, payload }));
  const reader = new NetlinkAnswerReader(sequence, MAX_MESSAGES);
  for (;;) {
    const answer = reader.push(socket.receive(TIMEOUT_MS));
    if (answer !== undefined) return answer;
  }
}

/**
 * Sends a request and returns the payload-carrying messages of its answer. This thread waits for the
 * answer. A dump whose table changed meanwhile is repeated a few times; the last answer then counts.
 *
 * @throws {VsockboxError} with the errno of the kernel and, as its message, the kernel's own reason if it
 * has sent one; TIMEOUT, BAD_DATA, IO.
 */
export function netlinkRequest(
  socket: NetlinkSocket,
  request: NetlinkRequest,
): NetlinkAnswer["messages"] {
  for (let attempt = 1; ; attempt++) {
    const { errno, text, messages, isInterrupted } = ask(socket, request);
    if (errno !== 0) {
      const { operation, address } = request;
      throw systemError(errno, { operation, address, reason: text });
    }
    if (!isInterrupted || attempt === MAX_ATTEMPTS) return messages;
  }
}
