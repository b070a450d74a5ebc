/** An agent that says Hello as ours does, and then whatever a test wants. */
import { ChannelConnection } from "../../src/agent/channel/channel-connection.ts";
import type { Channel } from "../../src/agent/channel/channel.ts";
import { FrameConnection } from "../../src/agent/channel/frame-connection.ts";
import { listen } from "../../src/net/listen.ts";
import { CHANNEL_WINDOW_BYTES } from "../../src/protocols/agent/credit.ts";
import { encodeJsonFrame, type Frame, FrameType } from "../../src/protocols/agent/frame.ts";
import { encodeHello, FEATURES } from "../../src/protocols/agent/hello.ts";
import type { JsonObject } from "../../src/protocols/agent/json-fields.ts";
import { encodePath } from "../../src/protocols/agent/paths.ts";

/** Options of {@link hostileAgent}. */
export interface HostileAgentOptions {
  /** What it calls itself. */
  version?: string;
  /** What it says it can do; all that ours can unless given. */
  features?: readonly string[];
  /** Answers a first frame that is no Hello; with it a Hello is not known, as by the Go agent. */
  onOldFrame?: (frame: Frame) => Uint8Array;
  /** Whether it sends nothing after its Hello. */
  isSilent?: boolean;
}

/** Listens at `path`; `answer` is called for each channel. */
export function hostileAgent(
  path: string,
  answer: (channel: Channel, request: JsonObject) => Promise<void> | void,
  {
    version = "hostile",
    features = FEATURES,
    onOldFrame,
    isSilent = false,
  }: HostileAgentOptions = {},
): Disposable {
  const hello = {
    protocol: 1,
    version,
    features,
    window: CHANNEL_WINDOW_BYTES,
    token: undefined,
  };
  const serve = async (connection: FrameConnection) => {
    const first = await connection.next();
    if (first === undefined) return;
    if (onOldFrame !== undefined) {
      if (first.type !== FrameType.Hello) await connection.sendEncoded(onOldFrame(first));
      return connection.finish();
    }
    await connection.sendEncoded(encodeJsonFrame(FrameType.Hello, encodeHello(hello)));
    if (isSilent) return;
    await new ChannelConnection(connection, {
      side: "agent",
      peerWindow: CHANNEL_WINDOW_BYTES,
      onOpen: (channel, request) => {
        void (async () => answer(channel, request))().catch(() => undefined);
      },
    }).run();
  };
  const listener = listen(
    { kind: "unix", path },
    {
      allowed: "any",
      onConnection: (stream) => void serve(new FrameConnection(stream)).catch(() => undefined),
    },
  );
  return { [Symbol.dispose]: () => listener.close() };
}

const STATUS = { mode: 0o644, seconds: 1, nanoseconds: 0, uid: 0, gid: 0 };

/** Sends a file with a text as its content, under any name. */
export async function sendHostileFile(
  channel: Channel,
  name: Uint8Array | string,
  content = "hostile\n",
): Promise<void> {
  const encoded = encodePath(Buffer.from(name));
  await channel.sendRecord({ kind: "file", name: encoded, size: content.length, ...STATUS });
  await channel.send(1, Buffer.from(content));
  await channel.sendRecord({ kind: "end" });
}

/** Begins a directory, under any name. */
export function sendHostileDirectory(channel: Channel, name: string): Promise<void> {
  return channel.sendRecord({ kind: "directory", name, ...STATUS, mode: 0o755 });
}
