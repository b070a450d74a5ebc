/** One connection of the agent: the first frame of its session selects channels or a mode. */
import { onAbort } from "../../io/deadline.ts";
import { type Frame, frameName, FrameType, isGoRequestType } from "../../protocols/agent/frame.ts";
import { NoSessionError } from "../../protocols/agent/first-frame.ts";
import { ChannelConnection } from "../channel/channel-connection.ts";
import { ChannelRequests, type AgentServices } from "./channel-requests.ts";
import { runExecSession } from "./go-exec.ts";
import { runFileSession } from "./go-files.ts";
import type { FrameConnection } from "../channel/frame-connection.ts";
import type { Greeted } from "./handshake.ts";
import { runPortForwardSession } from "./go-port-forward.ts";
import type { Log } from "../../process/service/log.ts";
import { runTTYSession } from "./go-terminal.ts";

/** A connection without open channels is closed after this time without a frame, in milliseconds. */
const UNUSED_CONNECTION_MS = 10 * 60 * 1000;

/** State that all sessions of an agent share. */
export interface AgentSessionServices extends AgentServices {
  readonly maxOutputBytes: number;
  /** Largest frame of a peer that may connect, in bytes. */
  readonly maxFrameBytes: number;
  readonly log: Log;
}

/**
 * Serves a connection from the frame that begins its session.
 *
 * @throws {VsockboxError} to be sent to the host in a Stderr frame.
 */
export async function serveConnection(
  connection: FrameConnection,
  { next, hello }: Greeted,
  services: AgentSessionServices,
): Promise<void> {
  if (hello === undefined || next.type < FrameType.Hello) {
    return serveMode(connection, next, services);
  }
  connection.unread(next);
  await serveChannels(connection, hello.window, services);
}

/** Serves one of the modes of the Go agent. */
async function serveMode(
  connection: FrameConnection,
  { type, payload }: Frame,
  services: AgentSessionServices,
): Promise<void> {
  using _listed = services.connections.begin(connection.stream, frameName(type));
  if (!isGoRequestType(type)) {
    throw new NoSessionError(type);
  }
  switch (type) {
    case FrameType.Exec:
    case FrameType.ExecStream:
    case FrameType.ExecPipe:
      return await runExecSession(connection, type, payload, services);
    case FrameType.ExecTTY:
      return await runTTYSession(connection, payload, services);
    case FrameType.PortForward:
      return await endOnStop(connection, services, runPortForwardSession(connection, payload));
    case FrameType.WriteFile:
    case FrameType.ReadFile:
    case FrameType.ListFiles:
      return await runFileSession(connection, type, payload);
    default:
      return type satisfies never;
  }
}

/** Aborts on stop, without a reason: a connection that carries raw bytes has no frame for one. */
async function endOnStop(
  connection: FrameConnection,
  { stopping }: AgentSessionServices,
  work: Promise<void>,
): Promise<void> {
  using _stop = onAbort(stopping, () => connection.stream.abort());
  await work;
}

async function serveChannels(
  connection: FrameConnection,
  peerWindow: number,
  services: AgentSessionServices,
): Promise<void> {
  const requests = new ChannelRequests(
    services,
    () => channels,
    (text) => services.connections.begin(connection.stream, text),
  );
  const channels: ChannelConnection = new ChannelConnection(connection, {
    side: "agent",
    budget: services.budget,
    peerWindow,
    onOpen: (channel, request) => requests.serve(channel, request),
  });
  const unused = setInterval(() => {
    const silentMs = performance.now() - channels.lastFrameAt;
    if (channels.openChannels === 0 && silentMs > UNUSED_CONNECTION_MS) void channels.close();
  }, UNUSED_CONNECTION_MS / 10);
  unused.unref();
  using _stop = onAbort(services.stopping, () => {
    void requests.finished().then(() => channels.close());
  });
  try {
    await channels.run();
    await channels.close();
  } finally {
    clearInterval(unused);
    await requests.finished();
  }
}
