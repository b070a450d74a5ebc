import { describe, expect, test } from "bun:test";
import { VsockboxError } from "../../../../src/errors.ts";
import { Channel, type ChannelItem } from "../../../../src/agent/channel/channel.ts";
import {
  DATA_HEADER_BYTES,
  encodeData,
  type Stream,
} from "../../../../src/protocols/agent/channel-frames.ts";

const WINDOW = 2 * 1024 * 1024;

function makeChannel() {
  const posted: Uint8Array[] = [];
  const carrier = {
    write: () => Promise.resolve(),
    post: (frame: Uint8Array) => void posted.push(frame),
    forget: () => undefined,
  };
  return { channel: new Channel(carrier, 1, { peerBytes: WINDOW, ownBytes: WINDOW }), posted };
}

const give = (channel: Channel, stream: Stream, bytes: Uint8Array) =>
  channel.onData({ kind: "data", stream, bytes }, bytes.length);

async function all(channel: Channel): Promise<ChannelItem[]> {
  const items: ChannelItem[] = [];
  for (;;) {
    const item = await channel.next();
    if (item === undefined) return items;
    items.push(item);
  }
}

test("large frames of senders at the same time have buffers of their own, used again later", async () => {
  const writes: { frame: Uint8Array; sent: PromiseWithResolvers<void> }[] = [];
  const carrier = {
    write(frame: Uint8Array) {
      const sent = Promise.withResolvers<void>();
      writes.push({ frame, sent });
      return sent.promise;
    },
    post: () => undefined,
    forget: () => undefined,
  };
  const channel = new Channel(carrier, 1, { peerBytes: WINDOW, ownBytes: WINDOW });
  const send = async (fill: number) => {
    const count = writes.length;
    const sent = channel.send(1, new Uint8Array(65_536).fill(fill));
    await Promise.resolve();
    const write = writes[count];
    if (write === undefined) throw new Error("nothing was written");
    return { ...write, done: sent };
  };
  const [first, second] = [await send(1), await send(2)];
  expect(Buffer.from(first.frame)).toEqual(
    Buffer.from(encodeData(1, 1, new Uint8Array(65_536).fill(1))),
  );
  expect(Buffer.from(second.frame)).toEqual(
    Buffer.from(encodeData(1, 1, new Uint8Array(65_536).fill(2))),
  );
  first.sent.resolve();
  await first.done;
  const third = await send(3);
  expect(third.frame.buffer === first.frame.buffer).toBe(true);
  expect((third.frame.byteOffset + DATA_HEADER_BYTES) % 64).toBe(0);
  expect(second.frame.at(-1)).toBe(2);
  second.sent.resolve();
  third.sent.reject(new Error("broken"));
  await second.done;
  expect(await third.done.catch(({ message }) => message)).toBe("broken");
});

describe("unread data of a channel", () => {
  test("small pieces are merged, in order, and never with those of another stream", async () => {
    const { channel } = makeChannel();
    const sent = { 1: "", 2: "" };
    for (let index = 0; index < 10_000; index++) {
      const stream = index % 1000 < 900 ? 1 : 2;
      const text = `${index},`;
      sent[stream] += text;
      give(channel, stream, Buffer.from(text));
    }
    channel.onData({ kind: "record", value: { here: true } }, 13);
    give(channel, 1, new Uint8Array(5000).fill(0x2e));
    give(channel, 1, Buffer.from("end"));
    channel.onEnd();
    const items = await all(channel);
    const text = (stream: Stream) =>
      Buffer.concat(
        items.map((item) =>
          item.kind === "data" && item.stream === stream ? item.bytes : Buffer.of(),
        ),
      ).toString();
    expect(text(1)).toBe(`${sent[1]}${".".repeat(5000)}end`);
    expect(text(2)).toBe(sent[2]);
    expect(items.filter((item) => item.kind === "record")).toHaveLength(1);
    expect(items.length).toBeLessThan(50);
  });

  test("a small piece does not keep the chunk that it came in", async () => {
    const { channel } = makeChannel();
    const chunk = new Uint8Array(64 * 1024);
    give(channel, 0, chunk.subarray(0, 1));
    give(channel, 1, chunk.subarray(1, 2));
    give(channel, 0, chunk.subarray(2, 3));
    channel.onEnd();
    const [, ...waiting] = await all(channel);
    for (const item of waiting) {
      if (item.kind !== "data") throw new Error("only data was sent");
      expect(item.bytes.buffer.byteLength).toBeLessThan(100);
    }
    expect(waiting).toHaveLength(2);
  });

  test("empty pieces are dropped, and all credit is returned", async () => {
    const { channel, posted } = makeChannel();
    for (let index = 0; index < 100_000; index++) give(channel, 1, new Uint8Array(0));
    for (let sent = 0; sent < WINDOW; sent += 1024) give(channel, 1, new Uint8Array(1024));
    channel.onEnd();
    const items = await all(channel);
    expect(items.length).toBeLessThan(50);
    const credit = posted.map((frame) => new DataView(frame.buffer).getUint32(9));
    expect(credit.reduce((sum, bytes) => sum + bytes, 0)).toBe(WINDOW);
  });
});

describe("credit beyond every window", () => {
  test("is refused, and the channel can still be ended", async () => {
    const { channel } = makeChannel();
    expect(() => channel.onCredit(0xffff_ffff)).toThrow("more than any window");
    const reason = new VsockboxError({ code: "BAD_DATA", operation: "read Credit" });
    channel.onBroken(reason);
    await channel.peerClosed;
    expect(channel.result).rejects.toBe(reason);
    expect(channel.send(1, new Uint8Array(1))).rejects.toBe(reason);
  });
});
