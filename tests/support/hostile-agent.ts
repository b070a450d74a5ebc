/** An agent that says Hello as ours does, and then whatever a test wants. */
import { ChannelConnection } from "../../src/agent/channel-connection.ts";
import type { Channel } from "../../src/agent/channel.ts";
import { FrameConnection } from "../../src/agent/frame-connection.ts";
import { listen } from "../../src/net/listen.ts";
import { CHANNEL_WINDOW_BYTES } from "../../src/protocols/agent/credit.ts";
import { encodeJsonFrame, FrameType } from "../../src/protocols/agent/frame.ts";
import { encodeHello, FEATURES } from "../../src/protocols/agent/hello.ts";
import type { JsonObject } from "../../src/protocols/agent/json-fields.ts";

/** Listens at `path`; `answer` is called for each channel. */
export function hostileAgent(
  path: string,
  answer: (channel: Channel, request: JsonObject) => Promise<void> | void,
): Disposable {
  const hello = {
    protocol: 1,
    version: "hostile",
    features: FEATURES,
    window: CHANNEL_WINDOW_BYTES,
    token: undefined,
  };
  const listener = listen(
    { kind: "unix", path },
    {
      allowed: "any",
      onConnection: (stream) => {
        void (async () => {
          const connection = new FrameConnection(stream);
          await connection.next();
          await connection.sendEncoded(encodeJsonFrame(FrameType.Hello, encodeHello(hello)));
          await new ChannelConnection(connection, {
            side: "agent",
            peerWindow: CHANNEL_WINDOW_BYTES,
            onOpen: (channel, request) => {
              void (async () => answer(channel, request))().catch(() => undefined);
            },
          }).run();
        })().catch(() => undefined);
      },
    },
  );
  return { [Symbol.dispose]: () => listener.close() };
}
