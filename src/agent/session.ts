/** One connection of the agent: the first frame decides what it is. */
import { createHash, timingSafeEqual } from "node:crypto";
import { VsockboxError } from "../errors.ts";
import { formatPeer } from "../net/peer.ts";
import { onAbort } from "../net/retry.ts";
import { encodeFileResponse } from "../protocols/agent/file-messages.ts";
import { CHANNEL_WINDOW_BYTES } from "../protocols/agent/credit.ts";
import { encodeJsonFrame, type Frame, frameName, FrameType } from "../protocols/agent/frame.ts";
import {
  decodeHello,
  encodeHello,
  FEATURES,
  type Hello,
  PROTOCOL_VERSION,
} from "../protocols/agent/hello.ts";
import { encodeExecResponse } from "../protocols/agent/messages.ts";
import { REFUSED_TEXT } from "../protocols/agent/refused.ts";
import { VERSION } from "../version.ts";
import { ChannelConnection } from "./channel-connection.ts";
import { ChannelRequests, type AgentServices } from "./channel-requests-server.ts";
import { runExecSession } from "./exec-session.ts";
import { runFileSession } from "./file-session.ts";
import type { FrameConnection } from "./frame-connection.ts";
import { runPortForwardSession } from "./port-forward-session.ts";
import type { AgentLog } from "./server.ts";
import { runTTYSession } from "./tty-session.ts";

/** A connection without channels is closed when nothing came for so long, in milliseconds. */
const UNUSED_CONNECTION_MS = 10 * 60 * 1000;

/** What all sessions of an agent share. */
export interface SessionServices extends AgentServices {
  readonly token: string | undefined;
  readonly maxOutputBytes: number;
  /** Largest frame of a peer that may connect, in bytes. */
  readonly maxFrameBytes: number;
  readonly log: AgentLog;
}

/**
 * Serves a connection whose first frame has come.
 *
 * @throws {VsockboxError} to be told to the host in a Stderr frame.
 */
export async function serveConnection(
  connection: FrameConnection,
  first: Frame,
  services: SessionServices,
): Promise<void> {
  if (first.type !== FrameType.Hello) {
    if (services.token !== undefined) {
      return refuseWithoutToken(connection, first.type, services);
    }
    return serveMode(connection, first, services);
  }
  const hello = decodeHello(first.payload);
  if (services.token !== undefined && !isToken(hello.token, services.token)) {
    const why = hello.token === undefined ? "the token is missing" : "the token is wrong";
    services.log.warn(`${formatPeer(connection.stream.peer)}: refused, ${why}`);
    throw refusal(why);
  }
  connection.limitFrames(services.maxFrameBytes);
  const own: Hello = {
    protocol: PROTOCOL_VERSION,
    version: `vsockbox ${VERSION}`,
    features: FEATURES,
    window: CHANNEL_WINDOW_BYTES,
    token: undefined,
  };
  await connection.sendEncoded(encodeJsonFrame(FrameType.Hello, encodeHello(own)));
  const next = await connection.next();
  if (next === undefined) return connection.finish();
  if (next.type < FrameType.Hello) return serveMode(connection, next, services);
  connection.unread(next);
  await serveChannels(connection, hello.window, services);
}

/** Refuses a peer whose first frame is a request, in the frames that its client waits for. */
export async function refuseWithoutToken(
  connection: FrameConnection,
  type: number,
  { log }: SessionServices,
): Promise<void> {
  const why = "this agent wants a token, and a client that sends it first (--token-file)";
  log.warn(`${formatPeer(connection.stream.peer)}: refused, it sent no token`);
  return refuseInMode(connection, type, why);
}

/** Equal digests of equal length: how long the comparison takes says nothing about the token. */
function isToken(given: string | undefined, expected: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given ?? ""), digest(expected)) && given !== undefined;
}

function refusal(why: string): VsockboxError {
  return new VsockboxError({
    code: "REFUSED",
    operation: "accept",
    message: `${REFUSED_TEXT}: ${why}`,
  });
}

/** Says no in the frames that the mode's client waits for. */
async function refuseInMode(connection: FrameConnection, type: number, why: string): Promise<void> {
  const error = refusal(why);
  const none = new Uint8Array(0);
  try {
    switch (type) {
      case FrameType.Exec: {
        const response = { exitCode: 1, stdout: none, stderr: none, error: error.message };
        const json = encodeExecResponse(response);
        await connection.sendEncoded(encodeJsonFrame(FrameType.ExecResult, json));
        break;
      }
      case FrameType.WriteFile:
      case FrameType.ReadFile:
      case FrameType.ListFiles: {
        const json = encodeFileResponse({ error: error.message });
        await connection.sendEncoded(encodeJsonFrame(FrameType.FileResult, json));
        break;
      }
      default:
        await connection.sendError(error);
    }
  } catch {
    // The host is gone already.
  }
  await connection.finish();
}

/** One of the modes that the Go agent has, too. */
async function serveMode(
  connection: FrameConnection,
  { type, payload }: Frame,
  services: SessionServices,
): Promise<void> {
  switch (type) {
    case FrameType.Exec:
    case FrameType.ExecStream:
    case FrameType.ExecPipe:
      return runExecSession(connection, type, payload, services);
    case FrameType.ExecTTY:
      return runTTYSession(connection, payload, services);
    case FrameType.PortForward:
      return endOnStop(connection, services, runPortForwardSession(connection, payload));
    case FrameType.WriteFile:
    case FrameType.ReadFile:
    case FrameType.ListFiles:
      return runFileSession(connection, type, payload);
    default:
      throw new VsockboxError({
        code: "BAD_DATA",
        operation: "serve",
        message: `no session begins with a frame of ${frameName(type)}`,
        hint: "does the other end speak the agent protocol?",
      });
  }
}

/** Raw bytes leave no room for a reason: the connection ends. */
async function endOnStop(
  connection: FrameConnection,
  { stopping }: SessionServices,
  work: Promise<void>,
): Promise<void> {
  using _stop = onAbort(stopping, () => connection.stream.abort());
  await work;
}

async function serveChannels(
  connection: FrameConnection,
  peerWindow: number,
  services: SessionServices,
): Promise<void> {
  const requests = new ChannelRequests(services, () => channels);
  const channels: ChannelConnection = new ChannelConnection(connection, {
    side: "agent",
    peerWindow,
    onOpen: (channel, request) => requests.serve(channel, request),
  });
  const unused = setInterval(() => {
    const silentMs = performance.now() - channels.lastFrameAt;
    if (channels.channels === 0 && silentMs > UNUSED_CONNECTION_MS) void channels.close();
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
