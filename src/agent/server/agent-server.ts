/**
 * The agent in the guest, whose entry is {@link startAgent}.
 *
 *   listen port  ->  admission (--allow-cid, --max-sessions)  ->  handshake (Hello, token)  ->  session
 *   ready port   ->  accepts and closes: an accepted connection means that the agent serves
 *
 * Both ports are bound before the first connection is accepted. A refused client gets the reason in a
 * Stderr frame, since Stderr is the one frame that every client of either protocol prints. A client has
 * `handshakeTimeoutMs` to complete its handshake and the first frame of its session; `session.ts` serves
 * it from there, with channels (`channel-requests.ts`) or in one of the Go agent's modes (`go-*.ts`).
 *
 * What all connections share is in {@link AgentSessionServices}: the detached commands, which outlive their
 * connections, and one {@link MemoryBudget} for all buffers. Stopping has three steps: accept no more,
 * wait for sessions up to a grace period, then fire `stopping`, by which each session ends its command
 * and reports the reason to its host.
 */
import { totalmem } from "node:os";
import { toVsockboxError, VsockboxError } from "../../errors.ts";
import type { SocketAddress } from "../../net/address.ts";
import type { AllowedCids } from "../../net/allow-cid.ts";
import { listen, type Listener } from "../../net/listen.ts";
import { watchIdle } from "../../io/idle-timeout.ts";
import { formatPeer, formatPeerHost, type Peer } from "../../io/peer.ts";
import { RefusalLog } from "../../net/refusal-log.ts";
import { RefusedPool } from "../../net/refused-pool.ts";
import { onAbort, withDeadline } from "../../io/deadline.ts";
import { shareInFlight } from "../../io/share-in-flight.ts";
import type { SocketStream } from "../../io/stream.ts";
import { checkFirstFrame } from "../../protocols/agent/first-frame.ts";
import { DEFAULT_MAX_FRAME_BYTES } from "../../protocols/agent/frame.ts";
import { refusalMessage } from "../../protocols/agent/refused.ts";
import type { Log } from "../../process/service/log.ts";
import type { Metric } from "../../protocols/prometheus/text.ts";
import { AgentCounters } from "./agent-counters.ts";
import { ConnectionList } from "./connection-list.ts";
import { DetachedSessions } from "./detached-sessions.ts";
import { FrameConnection } from "../channel/frame-connection.ts";
import { firstFrameLimit, greetClient, RefusedClientError } from "./handshake.ts";
import { defaultBudgetBytes, MemoryBudget } from "../channel/memory-budget.ts";
import { serveConnection, type AgentSessionServices } from "./session.ts";
import { countOf } from "../../text/count.ts";

/**
 * Default time limit from the accept to the begin of the session, in milliseconds. It covers the Hello,
 * the proof of the token and the frame that follows together, so that bytes sent one by one do not
 * extend it.
 */
export const DEFAULT_HANDSHAKE_TIMEOUT_MS = 30_000;

/** Default limit of connections that are served at once. */
export const DEFAULT_MAX_SESSIONS = 512;

/** Collected output per stream of an Exec, in bytes: two of them fit into one frame as base64. */
export const DEFAULT_MAX_OUTPUT_BYTES = 16 * 1024 * 1024;

/** Time limit for sessions to end after `stopping` has fired, in milliseconds; aborted afterwards. */
const SESSION_END_TIMEOUT_MS = 7000;

/** Time limit for the last error and the close of a connection, in milliseconds. */
const LAST_ERROR_TIMEOUT_MS = 5000;

const CLEAR_TOKEN_WARNING =
  "it sent its token in clear, as vsockbox 0.1 does; the next version refuses that";

/** Options of {@link startAgent}. */
export interface AgentOptions {
  listen: SocketAddress;
  /** Undefined: no ready port. */
  readyListen: SocketAddress | undefined;
  allowed: AllowedCids;
  /** The secret that every host must know; undefined: none. */
  token?: string | undefined;
  /** Refuse clients of version 0.1, which send the token itself. */
  refusesClearToken?: boolean | undefined;
  /** Confinement of every command. */
  sandbox?: readonly string[];
  maxFrameBytes?: number | undefined;
  maxSessions?: number | undefined;
  /** Output that is collected or kept for one command, in bytes. */
  maxOutputBytes?: number | undefined;
  /** Limit of all buffers together, in bytes (default: an eighth of the memory). */
  maxMemoryBytes?: number | undefined;
  /** Time limit from the accept to the begin of the session, in milliseconds. */
  handshakeTimeoutMs?: number | undefined;
  /** A connection without a byte in either direction for this time is closed; undefined: never. */
  idleTimeoutMs?: number | undefined;
  /** Powers off or reboots the guest; only an agent that is its init has this. */
  power?: ((action: "poweroff" | "reboot") => void) | undefined;
  log: Log;
}

/** Counts of the sessions of a stopped agent. */
export interface StopReport {
  /** Sessions that ended by themselves within the grace period. */
  finished: number;
  /** Sessions that the agent ended; their hosts were notified. */
  cancelled: number;
  /** Detached commands that were ended. */
  detached: number;
}

/** A running agent. */
export interface RunningAgent {
  /** Address of the agent's port, with the port number that the kernel chose if none was configured. */
  readonly listening: SocketAddress;
  /** Address of the ready port; undefined without one. */
  readonly readyListening: SocketAddress | undefined;
  /** How many connections are being served. */
  readonly sessions: number;
  /** Collects the metrics of the agent and its guest. */
  metrics(): Promise<readonly Metric[]>;
  /**
   * Stops accepting, lets sessions finish for up to `graceMs` or until `hurry` fires, then ends the
   * remaining ones; resolves after the last one.
   */
  stop(graceMs: number, hurry?: AbortSignal): Promise<StopReport>;
}

/**
 * Binds the agent's ports and serves until {@link RunningAgent.stop}.
 *
 * @throws {VsockboxError} as `listen` does.
 */
export function startAgent(options: AgentOptions): RunningAgent {
  const { allowed, log } = options;
  const maxSessions = options.maxSessions ?? DEFAULT_MAX_SESSIONS;
  const maxOutputBytes = options.maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES;
  const budget = new MemoryBudget(
    options.maxMemoryBytes ?? defaultBudgetBytes(totalmem(), process.constrainedMemory()),
  );
  const sessions = new Map<SocketStream, Promise<void>>();
  const counters = new AgentCounters();
  const connections = new ConnectionList();
  const stopping = new AbortController();
  const detached = new DetachedSessions({
    sessions: maxSessions,
    outputBytes: maxOutputBytes,
    budget,
  });
  const metrics = shareInFlight(async () => {
    const { collectMetrics } = await import("./collect-metrics.ts");
    return collectMetrics({
      counters,
      openSessions: sessions.size,
      maxSessions,
      detachedCommands: detached.running,
      buffers: budget,
    });
  });
  const services: AgentSessionServices = {
    detached,
    budget,
    counters,
    connections,
    metrics,
    sandbox: options.sandbox ?? [],
    openSessions: () => sessions.size,
    power: options.power,
    stopping: stopping.signal,
    maxOutputBytes,
    maxFrameBytes: options.maxFrameBytes ?? DEFAULT_MAX_FRAME_BYTES,
    log,
  };

  const refusals = new RefusalLog((line) => log.warn(line));
  const refusedPool = new RefusedPool();
  const sessionsOpen = countOf(maxSessions, "session is open", "sessions are open");
  const onConnection = (stream: SocketStream) => {
    if (sessions.size >= maxSessions) {
      counters.refusals.sessions++;
      refusals.note(formatPeerHost(stream.peer), sessionsOpen);
      if (!refusedPool.hasCapacity(stream.fd)) return stream.abort();
      refusedPool.add(stream);
      const reason = `${sessionsOpen}, the limit of --max-sessions`;
      void refuseClient(stream, refusalMessage(reason));
      return;
    }
    const idle = watchIdle(stream, options.idleTimeoutMs);
    counters.opened(stream);
    connections.opened(stream);
    const peer = formatPeer(stream.peer);
    log.debug(`${peer} has connected`);
    const served = serve(stream, options, services, refusals).finally(() => {
      log.debug(
        `${peer} has disconnected: ${stream.receivedBytes} bytes received, ${stream.sentBytes} sent`,
      );
      clearInterval(idle);
      counters.closed(stream);
      connections.closed(stream);
      sessions.delete(stream);
    });
    sessions.set(stream, served);
  };
  const onRefusal = (peer: Peer) => {
    counters.refusals.cid++;
    refusals.note(formatPeerHost(peer), "not in --allow-cid");
  };
  const onShortage = (reason: string) => log.warn(`${reason}; peers have to wait`);
  const onRefused = (stream: SocketStream) => {
    void refuseClient(stream, refusalMessage(`${formatPeer(stream.peer)} is not in --allow-cid`));
  };

  const listeners: [Listener, ...Listener[]] = [
    listen(options.listen, {
      allowed,
      onConnection,
      onRefused,
      onRefusal,
      refusedPool,
      onShortage,
    }),
  ];
  if (options.readyListen !== undefined) {
    try {
      const onReadyProbe = (stream: SocketStream) => void stream.close();
      const readyOptions = { allowed, onConnection: onReadyProbe, onRefusal, onShortage };
      listeners.push(listen(options.readyListen, readyOptions));
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
    metrics,
    async stop(graceMs, hurry) {
      for (const listener of listeners) listener.close();
      refusals.flush();
      const open = sessions.size;
      const allServed = Promise.all(sessions.values());
      if (open > 0 && graceMs > 0) await waitAtMost(allServed, graceMs, hurry);
      const cancelled = sessions.size;
      stopping.abort();
      const timer = setTimeout(() => {
        for (const stream of sessions.keys()) stream.abort();
      }, SESSION_END_TIMEOUT_MS);
      const [detachedEnded] = await Promise.all([detached.terminateAll(), allServed]);
      clearTimeout(timer);
      return { finished: open - cancelled, cancelled, detached: detachedEnded };
    },
  };
}

async function waitAtMost(
  work: Promise<unknown>,
  milliseconds: number,
  hurry: AbortSignal | undefined,
): Promise<void> {
  const over = Promise.withResolvers<void>();
  const timer = setTimeout(over.resolve, milliseconds);
  using _hurry = onAbort(hurry, over.resolve);
  work.then(() => over.resolve(), over.resolve);
  await over.promise;
  clearTimeout(timer);
}

async function refuseClient(stream: SocketStream, message: string): Promise<void> {
  const error = new VsockboxError({ code: "REFUSED", operation: "accept", message });
  await closeWithError(new FrameConnection(stream), error);
}

async function serve(
  stream: SocketStream,
  options: AgentOptions,
  services: AgentSessionServices,
  refusals: RefusalLog,
): Promise<void> {
  const { maxFrameBytes } = services;
  const policy = {
    token: options.token,
    acceptsClearToken: options.refusesClearToken !== true,
    maxFrameBytes,
  };
  const share = services.budget.share();
  const connection = new FrameConnection(stream, {
    maxFrameBytes: firstFrameLimit(policy),
    share,
    checkFirst: checkFirstFrame,
  });
  const handshakeTimeoutMs = options.handshakeTimeoutMs ?? DEFAULT_HANDSHAKE_TIMEOUT_MS;
  const peer = formatPeer(stream.peer);
  try {
    const greeted = await withDeadline(greetClient(connection, policy), {
      milliseconds: handshakeTimeoutMs,
      signal: services.stopping,
      timeoutError: () =>
        new VsockboxError({
          code: "TIMEOUT",
          operation: "read the first frames",
          message: `they were not received within ${handshakeTimeoutMs / 1000} seconds`,
        }),
      onGiveUp: () => undefined,
    });
    if (greeted === undefined) return await stream.close();
    services.counters.sessionsOpened++;
    if (greeted.tokenWasClear) services.log.warn(`${peer}: ${CLEAR_TOKEN_WARNING}`);
    await serveConnection(connection, greeted, services);
  } catch (thrown) {
    const error = toVsockboxError(thrown, "serve");
    const isRefused = error instanceof RefusedClientError;
    if (isRefused) {
      services.counters.refusals.token++;
      refusals.note(formatPeerHost(stream.peer), error.loggedReason);
    } else {
      services.counters.sessionsFailed++;
      services.log.warn(`${peer}: ${error.message}`);
    }
    await closeWithError(connection, isRefused && error.isAnswered ? undefined : error);
  } finally {
    share.release();
  }
}

/** Sends the error, if any, and closes; aborts if the peer does not read it in time. */
async function closeWithError(connection: FrameConnection, error: VsockboxError | undefined) {
  const { stream } = connection;
  const timer = setTimeout(() => stream.abort(), LAST_ERROR_TIMEOUT_MS);
  try {
    if (error !== undefined) await connection.sendError(error).catch(() => undefined);
    await connection.finish();
  } finally {
    clearTimeout(timer);
  }
}
