/** Datagrams of netlink: any bytes are messages, attributes and sockets, or are refused as bad data. */
import { NetlinkAnswerReader } from "../../src/protocols/netlink/answer.ts";
import { decodeAttributes, encodeAttributes } from "../../src/protocols/netlink/attributes.ts";
import {
  decodeNetlinkMessages,
  encodeNetlinkMessage,
  NetlinkFlag,
} from "../../src/protocols/netlink/message.ts";
import { decodeVsockSocket } from "../../src/protocols/netlink/vsock-diag.ts";
import { type Target, Violation } from "./targets.ts";

function demand(holds: boolean, promise: string): asserts holds {
  if (!holds) throw new Violation(promise);
}

const SEQUENCE = 1;
const MAX_MESSAGES = 64;

const entry = Uint8Array.fromHex("28010102fffffffffef937f301000000d4170000ac1d000001100000000000");
const reason = encodeAttributes([{ type: 1, value: "Unknown device type" }]);
const error = Uint8Array.from([0xa1, 0xff, 0xff, 0xff, ...new Uint8Array(16), ...reason]);

const CORPUS: readonly Uint8Array[] = [
  [20, NetlinkFlag.Multi, Uint8Array.from([...entry, 0])],
  [3, NetlinkFlag.Multi, new Uint8Array(4)],
  [2, NetlinkFlag.Capped | NetlinkFlag.Extended, error],
  [2, 0, error.subarray(0, 20)],
].map(([type, flags, payload]) =>
  encodeNetlinkMessage({
    ...{ type: type as number, flags: flags as number, payload: payload as Uint8Array },
    ...{ sequence: SEQUENCE, port: 0 },
  }),
);

const MESSAGES: Target = {
  name: "netlink-messages",
  corpus: [...CORPUS, new Uint8Array(Buffer.concat(CORPUS))],
  codes: ["BAD_DATA"],
  run(input) {
    const messages = decodeNetlinkMessages(input);
    demand(messages.length <= input.length / 16, "a message has a header");
    const again = messages.flatMap((message) =>
      decodeNetlinkMessages(encodeNetlinkMessage(message)),
    );
    demand(Bun.deepEquals(again, messages), "decode(encode(x)) is x");
    const answer = new NetlinkAnswerReader(SEQUENCE, MAX_MESSAGES).push(input);
    demand((answer?.messages.length ?? 0) <= MAX_MESSAGES, "an answer is bounded");
    demand((answer?.errno ?? 0) >= 0, "an errno is not negative");
    for (const { payload } of answer?.messages ?? []) decodeVsockSocket(payload);
  },
};

const ATTRIBUTES: Target = {
  name: "netlink-attributes",
  corpus: [reason, encodeAttributes([{ type: 18, value: [{ type: 1, value: "vsockmon" }] }])],
  codes: ["BAD_DATA"],
  run(input) {
    const attributes = decodeAttributes(input);
    const list = [...attributes].map(([type, value]) => ({ type, value }));
    const again = decodeAttributes(encodeAttributes(list));
    demand(Bun.deepEquals([...again], [...attributes]), "decode(encode(x)) is x");
  },
};

/** The readers of netlink. */
export const NETLINK_TARGETS: readonly Target[] = [MESSAGES, ATTRIBUTES];
