/** The server: accepts connections, keeps to its limits, and outlives every client. */
import { VsockboxError } from "../errors.ts";
import type { SocketAddress } from "../net/address.ts";
import type { AllowedCids } from "../net/allow-cid.ts";
import { watchIdle } from "../io/idle-timeout.ts";
import { listen } from "../net/listen.ts";
import { formatPeer, formatPeerHost } from "../io/peer.ts";
import { RefusalLog } from "../net/refusal-log.ts";
import { RefusedPool } from "../net/refused-pool.ts";
import type { SocketStream } from "../io/stream.ts";
import { endWithError } from "./end-session.ts";
import { MessageConnection } from "./message-connection.ts";
import { serveSession, type ShellSessionServices } from "./session.ts";
import { countOf } from "../text/count.ts";

/** Connections served at once unless configured otherwise. */
export const DEFAULT_MAX_SHELL_SESSIONS = 512;

/** Limit for sessions to end after the request to end, before they are aborted, in milliseconds. */
const CANCEL_MS = 7000;

/** Options of {@link startShellServer}. */
export interface ShellServerOptions extends Omit<ShellSessionServices, "stopping"> {
  listen: SocketAddress;
  allowed: AllowedCids;
  maxSessions?: number | undefined;
  /** A connection without a byte either way for so long is ended; undefined: never. */
  idleTimeoutMs?: number | undefined;
}

/** A running server. */
export interface ShellServer {
  /** The listening address, with the port that the kernel chose if none was given. */
  readonly listening: SocketAddress;
  /** How many connections are being served. */
  readonly sessions: number;
  /** Stops accepting and ends all sessions; resolves when nothing of them is left. */
  stop(): Promise<void>;
}

/**
 * Binds and serves until {@link ShellServer.stop}.
 *
 * @throws {VsockboxError} as `listen` does.
 */
export function startShellServer(options: ShellServerOptions): ShellServer {
  const { allowed, log, maxSessions = DEFAULT_MAX_SHELL_SESSIONS } = options;
  const sessions = new Map<SocketStream, Promise<void>>();
  const stopping = new AbortController();
  const services: ShellSessionServices = { ...options, stopping: stopping.signal };

  const refusals = new RefusalLog((line) => log.warn(line));
  const refusedPool = new RefusedPool();
  const turnAway = (stream: SocketStream, message: string) => {
    const error = new VsockboxError({ code: "REFUSED", operation: "accept", message });
    void endWithError(new MessageConnection(stream), error, "begin");
  };
  const listener = listen(options.listen, {
    allowed,
    onConnection(stream) {
      if (sessions.size >= maxSessions) {
        const reason = `${countOf(maxSessions, "session is open", "sessions are open")}, the limit of --max-sessions`;
        refusals.note(formatPeerHost(stream.peer), reason);
        if (!refusedPool.hasCapacity(stream.fd)) return stream.abort();
        refusedPool.add(stream);
        turnAway(stream, reason);
        return;
      }
      const idle = watchIdle(stream, options.idleTimeoutMs);
      const served = serveSession(stream, services).finally(() => {
        clearInterval(idle);
        sessions.delete(stream);
      });
      sessions.set(stream, served);
    },
    onRefused: (stream) => turnAway(stream, `${formatPeer(stream.peer)} is not in --allow-cid`),
    onRefusal: (peer) => refusals.note(formatPeerHost(peer), "not in --allow-cid"),
    refusedPool,
    onShortage: (reason) => log.warn(`${reason}; peers have to wait`),
  });
  return {
    listening: listener.address,
    get sessions() {
      return sessions.size;
    },
    async stop() {
      listener.close();
      refusals.flush();
      stopping.abort();
      const timer = setTimeout(() => {
        for (const stream of sessions.keys()) stream.abort();
      }, CANCEL_MS);
      await Promise.all(sessions.values());
      clearTimeout(timer);
    },
  };
}
