/**
 * The answer to one netlink request, from the datagrams that arrive on its socket. An answer is an
 * acknowledgement (an `Error` with or without an errno), or the messages of a dump and a `Done`. Messages
 * with another sequence number belong to an older request, or to a notification, and are skipped.
 */
import { VsockboxError } from "../../errors.ts";
import {
  decodeNetlinkMessages,
  decodeOutcome,
  NetlinkFlag,
  type NetlinkMessage,
  type NetlinkOutcome,
  NetlinkType,
} from "./message.ts";

/** A complete answer. */
export interface NetlinkAnswer extends NetlinkOutcome {
  messages: NetlinkMessage[];
  /** The table changed meanwhile, and entries may be missing: the dump can be repeated. */
  isInterrupted: boolean;
}

/** Collects an answer. */
export class NetlinkAnswerReader {
  readonly #sequence: number;
  readonly #maxMessages: number;
  readonly #messages: NetlinkMessage[] = [];
  #isInterrupted = false;

  /** @param maxMessages largest number of messages that a dump may have. */
  constructor(sequence: number, maxMessages: number) {
    this.#sequence = sequence;
    this.#maxMessages = maxMessages;
  }

  /**
   * Consumes a datagram, which the answer's messages keep.
   *
   * @returns undefined while the answer is incomplete. Messages after its end are ignored.
   * @throws {VsockboxError} BAD_DATA for a broken datagram, and for a dump of too many messages.
   */
  push(datagram: Uint8Array): NetlinkAnswer | undefined {
    for (const message of decodeNetlinkMessages(datagram)) {
      if (message.sequence !== this.#sequence || message.type === NetlinkType.Noop) continue;
      if ((message.flags & NetlinkFlag.DumpInterrupted) !== 0) this.#isInterrupted = true;
      const isEnd = message.type === NetlinkType.Error || message.type === NetlinkType.Done;
      if (isEnd) {
        const [messages, isInterrupted] = [this.#messages, this.#isInterrupted];
        return { ...decodeOutcome(message), messages, isInterrupted };
      }
      if (this.#messages.length >= this.#maxMessages) {
        throw new VsockboxError({
          code: "BAD_DATA",
          operation: "read netlink answer",
          message: `it has more than ${this.#maxMessages} messages`,
        });
      }
      this.#messages.push(message);
    }
    return undefined;
  }
}
