/** What was observed of a target, step by step. */
import type { RefusalReason } from "../../agent/client/handshake.ts";
import type { SocketAddress } from "../../net/address.ts";
import type { VsockboxError } from "../../errors.ts";
import type { RecognisedService } from "../../protocols/recognise-service.ts";
import type { HolderProcess } from "../facts/processes.ts";

/** The socket's file of a unix: or hybrid: address. */
export type SocketFile =
  | { state: "missing"; hasDirectory: boolean }
  | { state: "denied" }
  | { state: "other"; kind: string }
  | { state: "socket"; uid: number };

/**
 * The steps of a connection:
 *
 * - `connect`: connect(2), and on a Unix socket the owner of the listener
 * - `guest`: on a hybrid socket the VMM's answer to CONNECT
 * - `greet`: the agent's Hello, with the proofs of the token
 */
export type Step = "connect" | "guest" | "greet";

/** A kind of failure, as the classes of errors have it. */
export type Failure =
  | { kind: "service"; service: RecognisedService }
  | { kind: "silent-close" }
  | { kind: "old-agent" }
  | { kind: "refused"; reason: RefusalReason }
  | { kind: "owner"; uid: number }
  | { kind: "other" };

/** What an agent is and how it does. */
export interface AgentFacts {
  /** As its Hello has it, safe to print. */
  version: string;
  features: readonly string[];
  /** Whether it answers pings after its Hello. */
  isAnswering: boolean;
  /** Whether the ready port answers; undefined if it was not asked. */
  isReady: boolean | undefined;
  /** The agent's clock minus this side's, and how exact that is, in milliseconds; undefined without an answer. */
  clock: { offsetMs: number; errorMs: number } | undefined;
  /** Undefined if it did not answer. */
  limits: LimitFacts | undefined;
}

/** How near an agent is to its limits. */
export interface LimitFacts {
  sessions: number;
  buffersUsedBytes: number;
  /** NaN for an agent that does not send it. */
  buffersLimitBytes: number;
  memoryAvailableBytes: number;
  memoryTotalBytes: number;
  /** Of its build, such as `linux-x64`. */
  target: string;
}

/** A target. */
export interface TargetFacts {
  /** As the user wrote it. */
  written: string;
  /** With a port. */
  address: SocketAddress;
  /** Of a unix: or hybrid: address. */
  file: SocketFile | undefined;
  /** The process that listens on the socket, if it may be examined. */
  listener: HolderProcess | undefined;
  /** Whether the socket is a vhost-user device's for its VMM. */
  isVhostUser: boolean;
  /** Stopped agents of this machine, if the target is this machine. */
  stoppedAgents: readonly HolderProcess[];
  outcome:
    | { kind: "agent"; agent: AgentFacts }
    | {
        kind: "failed";
        step: Step;
        error: VsockboxError;
        failure: Failure;
        /** The address at which an agent answers instead. */
        agentAt: SocketAddress | undefined;
      };
}
