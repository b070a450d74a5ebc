import { describe, expect, test } from "bun:test";
import { NetlinkAnswerReader } from "../../../../src/protocols/netlink/answer.ts";
import {
  encodeNetlinkMessage,
  NetlinkFlag,
  NetlinkType,
} from "../../../../src/protocols/netlink/message.ts";

const SEQUENCE = 42;

function datagram(
  ...messages: [type: number, payload: Uint8Array, flags?: number, seq?: number][]
) {
  const encoded = messages.map(([type, payload, flags = NetlinkFlag.Multi, sequence = SEQUENCE]) =>
    encodeNetlinkMessage({ type, flags, sequence, port: 5, payload }),
  );
  return new Uint8Array(Buffer.concat(encoded));
}

const code = (value: number) => new Uint8Array(Int32Array.of(value).buffer);
const entry = (value: number) => Uint8Array.of(value, 0, 0, 0);
const acknowledgement = (value: number) => Uint8Array.from([...code(value), ...Array(16).fill(0)]);
const read = (bytes: readonly Uint8Array[], maxMessages = 10) => {
  const reader = new NetlinkAnswerReader(SEQUENCE, maxMessages);
  return bytes.map((part) => reader.push(part));
};

describe("an answer of the kernel", () => {
  test("is a dump over several datagrams and its end", () => {
    const [first, second] = read([
      datagram([20, entry(1)], [20, entry(2)]),
      datagram([20, entry(3)], [NetlinkType.Done, code(0)]),
    ]);
    expect(first).toBeUndefined();
    expect(second?.messages.map(({ type, payload }) => [type, payload[0]])).toEqual([
      [20, 1],
      [20, 2],
      [20, 3],
    ]);
    expect(second).toMatchObject({ errno: 0, text: undefined, isInterrupted: false });
  });

  test("is an acknowledgement, or an error", () => {
    const of = (value: number) =>
      read([datagram([NetlinkType.Error, acknowledgement(value), 0])])[0];
    expect(of(0)).toEqual({ errno: 0, text: undefined, messages: [], isInterrupted: false });
    expect(of(-2)).toMatchObject({ errno: 2 });
  });

  test("skips messages of other requests and without a meaning", () => {
    const [answer] = read([
      datagram(
        [20, entry(8), NetlinkFlag.Multi, SEQUENCE - 1],
        [NetlinkType.Done, code(0), 0, SEQUENCE - 1],
        [NetlinkType.Error, acknowledgement(-1), 0, 0],
        [NetlinkType.Noop, new Uint8Array(0)],
        [20, entry(9)],
        [NetlinkType.Done, code(0)],
        [20, entry(10)],
      ),
    ]);
    expect(answer?.messages.map(({ payload }) => payload[0])).toEqual([9]);
  });

  test("is marked if the table changed, at an entry or at its end", () => {
    const flags = NetlinkFlag.Multi | NetlinkFlag.DumpInterrupted;
    const done = datagram([NetlinkType.Done, code(0)]);
    expect(read([datagram([20, entry(1), flags]), done])[1]?.isInterrupted).toBe(true);
    expect(read([datagram([NetlinkType.Done, code(0), flags])])[0]?.isInterrupted).toBe(true);
    expect(read([done])[0]?.isInterrupted).toBe(false);
  });

  test("is bounded", () => {
    const two = datagram([20, entry(1)], [20, entry(2)]);
    expect(read([two], 2)).toEqual([undefined]);
    expect(() => read([two], 1)).toThrow("it has more than 1 messages");
  });
});
