/** The agent in the guest: accepts connections and gives each to the mode that it asks for. */
import { toVsockboxError, VsockboxError } from "../errors.ts";
import type { SocketAddress } from "../net/address.ts";
import type { AllowedCids } from "../net/allow-cid.ts";
import { listen, type Listener } from "../net/listen.ts";
import { formatPeer } from "../net/peer.ts";
import { withDeadline } from "../net/retry.ts";
import type { SocketStream } from "../net/stream.ts";
import { DEFAULT_MAX_FRAME_BYTES, frameName, FrameType } from "../protocols/agent/frame.ts";
import { REFUSED_TEXT } from "../protocols/agent/refused.ts";
import { runExecSession } from "./exec-session.ts";
import { runFileSession } from "./file-session.ts";
import { FrameConnection } from "./frame-connection.ts";
import { runPortForwardSession } from "./port-forward-session.ts";
import { runTTYSession } from "./tty-session.ts";

/** How long a connection may stay silent before its first frame is there, in milliseconds. */
export const FIRST_FRAME_TIMEOUT_MS = 10_000;

/** Connections served at once unless configured otherwise. */
export const DEFAULT_MAX_SESSIONS = 512;

/** Collected output per stream of an Exec, in bytes: two of them fit into one frame as base64. */
export const DEFAULT_MAX_OUTPUT_BYTES = 16 * 1024 * 1024;

/** What the agent says of itself, one call an event. */
export interface AgentLog {
  info(message: string): void;
  warn(message: string): void;
}

/** Options of {@link startAgent}. */
export interface AgentOptions {
  listen: SocketAddress;
  /** Undefined: no ready port. */
  readyListen: SocketAddress | undefined;
  allowed: AllowedCids;
  maxFrameBytes?: number | undefined;
  maxSessions?: number | undefined;
  log: AgentLog;
}

/** A running agent. */
export interface Agent {
  /** Where it takes commands, with the port that the kernel chose where it was left open. */
  readonly listening: SocketAddress;
  /** Where a connection means ready; undefined without a ready port. */
  readonly readyListening: SocketAddress | undefined;
  /** How many connections are being served. */
  readonly sessions: number;
  /** Stops accepting, ends all sessions and their commands; resolves when all are gone. */
  stop(): Promise<void>;
}

/**
 * Binds the agent's ports and serves until {@link Agent.stop}.
 *
 * @throws {VsockboxError} as `listen` does.
 */
export function startAgent(options: AgentOptions): Agent {
  const { allowed, log } = options;
  const sessions = new Map<SocketStream, Promise<void>>();
  const maxSessions = options.maxSessions ?? DEFAULT_MAX_SESSIONS;

  const onConnection = (stream: SocketStream) => {
    if (sessions.size >= maxSessions) {
      log.warn(`${formatPeer(stream.peer)}: refused, ${maxSessions} sessions are open`);
      void turnAway(stream, `${maxSessions} sessions are open, the limit of --max-sessions`);
      return;
    }
    const served = serve(stream, options).finally(() => sessions.delete(stream));
    sessions.set(stream, served);
  };
  const onRefused = (stream: SocketStream) => {
    log.warn(`${formatPeer(stream.peer)}: refused, not in --allow-cid`);
    void turnAway(stream, `${REFUSED_TEXT}: ${formatPeer(stream.peer)} is not in --allow-cid`);
  };

  const listeners: [Listener, ...Listener[]] = [
    listen(options.listen, { allowed, onConnection, onRefused }),
  ];
  if (options.readyListen !== undefined) {
    try {
      const onReadyProbe = (stream: SocketStream) => void stream.close();
      listeners.push(listen(options.readyListen, { allowed, onConnection: onReadyProbe }));
    } catch (thrown) {
      for (const listener of listeners) listener.close();
      throw thrown;
    }
  }
  return {
    listening: listeners[0].address,
    readyListening: listeners[1]?.address,
    get sessions() {
      return sessions.size;
    },
    async stop() {
      for (const listener of listeners) listener.close();
      for (const stream of sessions.keys()) stream.abort();
      await Promise.all(sessions.values());
    },
  };
}

async function turnAway(stream: SocketStream, message: string): Promise<void> {
  const connection = new FrameConnection(stream);
  const error = new VsockboxError({ code: "REFUSED", operation: "accept", message });
  await connection.sendError(error).catch(() => undefined);
  await connection.finish();
}

async function serve(stream: SocketStream, options: AgentOptions): Promise<void> {
  const maxFrameBytes = options.maxFrameBytes ?? DEFAULT_MAX_FRAME_BYTES;
  const connection = new FrameConnection(stream, { maxFrameBytes });
  try {
    const frame = await withDeadline(connection.next(), {
      milliseconds: FIRST_FRAME_TIMEOUT_MS,
      timeoutError: () =>
        new VsockboxError({
          code: "TIMEOUT",
          operation: "read the first frame",
          message: `nothing came within ${FIRST_FRAME_TIMEOUT_MS / 1000} seconds`,
        }),
      onGiveUp: () => undefined,
    });
    if (frame === undefined) {
      await stream.close();
      return;
    }
    await dispatch(connection, frame.type, frame.payload);
  } catch (thrown) {
    const error = toVsockboxError(thrown, "serve");
    options.log.warn(`${formatPeer(stream.peer)}: ${error.message}`);
    await connection.sendError(error).catch(() => undefined);
    await connection.finish();
  }
}

async function dispatch(
  connection: FrameConnection,
  type: number,
  payload: Uint8Array,
): Promise<void> {
  switch (type) {
    case FrameType.Exec:
    case FrameType.ExecStream:
    case FrameType.ExecPipe:
      return runExecSession(connection, type, payload, {
        maxOutputBytes: DEFAULT_MAX_OUTPUT_BYTES,
      });
    case FrameType.ExecTTY:
      return runTTYSession(connection, payload);
    case FrameType.PortForward:
      return runPortForwardSession(connection, payload);
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
