/**
 * Connects to a target as every other command does. Only if that fails the steps are tried one by one, so
 * that an agent that works sees one connection and its ready port another.
 */
import { resolve } from "node:path";
import { AgentClient, type Pong } from "../../agent/client/agent-client.ts";
import {
  type AgentDialOptions,
  AgentRefusedError,
  OldAgentError,
  performHandshake,
} from "../../agent/client/handshake.ts";
import { proveReady } from "../../agent/client/ready-probe.ts";
import { EXEC_PORT, READY_PORT } from "../../agent/ports.ts";
import { toVsockboxError, VsockboxError } from "../../errors.ts";
import { withDeadline } from "../../io/deadline.ts";
import { CID_LOCAL, type SocketAddress } from "../../net/address.ts";
import { DEFAULT_CONNECT_TIMEOUT_MS, dial } from "../../net/dial.ts";
import { otherFileKind } from "../../net/not-a-socket.ts";
import { SilentCloseError } from "../../net/silent-close.ts";
import { SocketOwnerError } from "../../net/socket-owner.ts";
import { WrongServiceError } from "../../net/wrong-service.ts";
import {
  field,
  type JsonObject,
  numberField,
  textField,
} from "../../protocols/agent/json-fields.ts";
import { isVhostUser, readListeners, stoppedProcesses } from "../facts/processes.ts";
import type { SystemFiles } from "../facts/system-files.ts";
import type {
  AgentFacts,
  Failure,
  LimitFacts,
  SocketFile,
  Step,
  TargetFacts,
} from "./target-facts.ts";

/** Limit for each of the questions that only make a report more exact, in milliseconds. */
const ASIDE_TIMEOUT_MS = 2000;

/** Pings for the clock: the one with the shortest round trip is the most exact. */
const CLOCK_PINGS = 3;

/** The target as the user wrote it, and its address with a port. */
export interface ProbedTarget {
  written: string;
  address: SocketAddress;
  options: AgentDialOptions;
  /** The CID of this machine, if it is known. */
  ownCid: number | undefined;
}

/**
 * Connects to a target and asks its agent.
 *
 * @throws {VsockboxError} ABORTED.
 */
export async function probeTarget(files: SystemFiles, target: ProbedTarget): Promise<TargetFacts> {
  const { written, address } = target;
  const isHere =
    address.kind === "vsock" && (address.cid === CID_LOCAL || address.cid === target.ownCid);
  const path = address.kind === "vsock" ? undefined : resolve(address.path);
  const outcome = await connect(target);
  const listeners = path === undefined ? undefined : readListeners(files);
  // Afterwards, since a process that has been stopped may have been the reason.
  return {
    written,
    address,
    file: path === undefined ? undefined : readSocketFile(files, path),
    listener: path === undefined ? undefined : listeners?.get(path),
    isVhostUser: path !== undefined && listeners !== undefined && isVhostUser(path, listeners),
    stoppedAgents: isHere ? stoppedProcesses(files, "vsockbox") : [],
    outcome,
  };
}

function readSocketFile(files: SystemFiles, path: string): SocketFile {
  const status = files.statusOrErrno(path);
  if (status === "EACCES") return { state: "denied" };
  if (typeof status === "string") {
    const directory = path.slice(0, path.lastIndexOf("/")) || "/";
    return { state: "missing", hasDirectory: files.status(directory) !== undefined };
  }
  const kind = otherFileKind(path);
  return kind === undefined ? { state: "socket", uid: status.uid } : { state: "other", kind };
}

async function connect({ address, options }: ProbedTarget): Promise<TargetFacts["outcome"]> {
  let client: AgentClient;
  try {
    client = await AgentClient.connect(address, options);
  } catch (thrown) {
    return await explain(toVsockboxError(thrown), address, options);
  }
  try {
    return { kind: "agent", agent: await examine(client, address, options) };
  } finally {
    await client.close();
  }
}

async function explain(
  greeting: VsockboxError,
  address: SocketAddress,
  options: AgentDialOptions,
): Promise<TargetFacts["outcome"]> {
  if (greeting.code === "ABORTED") throw greeting;
  const { step, error } = isOfGreeting(greeting)
    ? { step: "greet" as const, error: greeting }
    : await failingStep(greeting, address, options);
  const isClosed = step !== "greet" && error.code === "UNAVAILABLE";
  const agentAt = isClosed ? await findAgent(address, options) : undefined;
  return { kind: "failed", step, error, failure: failureOf(error), agentAt };
}

/** Errors for which the connection itself was made. */
function isOfGreeting(error: VsockboxError): boolean {
  return (
    error instanceof OldAgentError ||
    error instanceof AgentRefusedError ||
    error instanceof SilentCloseError ||
    (error instanceof WrongServiceError && error.expected !== "hybrid")
  );
}

async function failingStep(
  greeting: VsockboxError,
  address: SocketAddress,
  options: AgentDialOptions,
): Promise<{ step: Step; error: VsockboxError }> {
  const socket: SocketAddress =
    address.kind === "hybrid" ? { kind: "unix", path: address.path } : address;
  const connecting = await failureToDial(socket, options);
  if (connecting !== undefined) return { step: "connect", error: connecting };
  if (address.kind === "hybrid") {
    const handshake = await failureToDial(address, options);
    if (handshake !== undefined) return { step: "guest", error: handshake };
  }
  return { step: "greet", error: greeting };
}

async function failureToDial(
  address: SocketAddress,
  options: AgentDialOptions,
): Promise<VsockboxError | undefined> {
  try {
    const stream = await dial(address, options);
    stream.abort();
    return undefined;
  } catch (thrown) {
    return toVsockboxError(thrown);
  }
}

/** Returns the usual address of the agent in the same VM, if one answers there. */
async function findAgent(
  address: SocketAddress,
  options: AgentDialOptions,
): Promise<SocketAddress | undefined> {
  if (address.kind === "unix" || address.port === EXEC_PORT) return undefined;
  const usual = { ...address, port: EXEC_PORT };
  try {
    const { connection } = await performHandshake(usual, { ...options, ...aside(options) });
    await connection.stream.close();
    return usual;
  } catch (thrown) {
    const answers = thrown instanceof AgentRefusedError || thrown instanceof OldAgentError;
    return answers ? usual : undefined;
  }
}

function aside({ timeoutMs = DEFAULT_CONNECT_TIMEOUT_MS }: AgentDialOptions): {
  timeoutMs: number;
} {
  return { timeoutMs: Math.min(timeoutMs, ASIDE_TIMEOUT_MS) };
}

function failureOf(error: VsockboxError): Failure {
  if (error instanceof WrongServiceError) return { kind: "service", service: error.service };
  if (error instanceof SilentCloseError) return { kind: "silent-close" };
  if (error instanceof OldAgentError) return { kind: "old-agent" };
  if (error instanceof AgentRefusedError) return { kind: "refused", reason: error.refusal };
  if (error instanceof SocketOwnerError) return { kind: "owner", uid: error.uid };
  return { kind: "other" };
}

async function examine(
  client: AgentClient,
  address: SocketAddress,
  options: AgentDialOptions,
): Promise<AgentFacts> {
  const { version, features } = client.hello;
  const pong = await inTime(options, bestPong(client));
  const asksLimits = pong !== undefined && features.includes("info");
  return {
    version,
    features,
    isAnswering: pong !== undefined,
    clock: clockOf(pong),
    limits: asksLimits ? await inTime(options, readLimits(client)) : undefined,
    isReady: await readReadiness(address, options),
  };
}

/** Returns an answer of the agent; undefined if it failed, or did not come in time. */
async function inTime<T>(
  { timeoutMs = DEFAULT_CONNECT_TIMEOUT_MS, signal }: AgentDialOptions,
  answer: Promise<T>,
): Promise<T | undefined> {
  try {
    return await withDeadline(answer, {
      milliseconds: timeoutMs,
      signal,
      timeoutError: () =>
        new VsockboxError({ code: "TIMEOUT", operation: "probe", message: "no answer in time" }),
      // The other answers are still wanted; closing the client has a limit of its own.
      onGiveUp: () => undefined,
    });
  } catch {
    return undefined;
  }
}

/** Returns the pong with the shortest round trip. */
async function bestPong(client: AgentClient): Promise<Pong> {
  let best = await client.ping();
  for (let count = 1; count < CLOCK_PINGS; count++) {
    const pong = await client.ping();
    if (pong.roundTripMs < best.roundTripMs) best = pong;
  }
  return best;
}

/** An agent need not send its time. */
function clockOf(pong: Pong | undefined): AgentFacts["clock"] {
  if (pong === undefined || Number.isNaN(pong.clockOffsetMs)) return undefined;
  return { offsetMs: pong.clockOffsetMs, errorMs: pong.roundTripMs / 2 };
}

async function readLimits(client: AgentClient): Promise<LimitFacts> {
  const answer = await client.request({ op: "info" });
  const object = (from: JsonObject, name: string) => {
    const value = field(from, name);
    return (typeof value === "object" && value !== null ? value : {}) as JsonObject;
  };
  const [buffers, memory] = [
    object(answer, "buffers"),
    object(object(answer, "machine"), "memory"),
  ];
  return {
    sessions: numberField(answer, "sessions"),
    buffersUsedBytes: numberField(buffers, "used_bytes"),
    buffersLimitBytes: numberField(buffers, "limit_bytes", Number.NaN),
    memoryAvailableBytes: numberField(memory, "available"),
    memoryTotalBytes: numberField(memory, "total"),
    target: textField(answer, "target"),
  };
}

/** Only an agent at its usual port has its ready port at the usual one. */
async function readReadiness(
  address: SocketAddress,
  options: AgentDialOptions,
): Promise<boolean | undefined> {
  if (address.kind === "unix" || address.port !== EXEC_PORT) return undefined;
  const ready = { ...address, port: READY_PORT };
  const limits = { ...options, ...aside(options) };
  try {
    const stream = await dial(ready, limits);
    try {
      await proveReady(stream, "close", { address: ready, ...limits });
      return true;
    } finally {
      stream.abort();
    }
  } catch {
    return false;
  }
}
