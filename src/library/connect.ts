/** The entry of the library. */
import { AgentClient } from "../agent/client/agent-client.ts";
import { connectTwice } from "../agent/client/go-frames.ts";
import { answersGoFrames } from "../agent/client/go-probe.ts";
import { mayUseGoFrames } from "../agent/client/handshake.ts";
import { EXEC_PORT } from "../agent/ports.ts";
import { profileOf, resolveAddress } from "../config/profiles.ts";
import { parseSocketOwners } from "../config/socket-owners.ts";
import { readToken } from "../config/token.ts";
import { Agent } from "./agent.ts";
import { assertDurations } from "./durations.ts";
import { channelLink } from "./channel-link.ts";
import { GoLink } from "./go-link.ts";

/** Options of {@link connectAgent}. */
export interface ConnectOptions {
  /** The agent's secret; without it that of the profile's `token_file`. */
  token?: string;
  /** Sends the token in clear to an agent of vsockbox 0.1, though it cannot prove that it knows it. */
  allowClearToken?: boolean;
  /**
   * For the connection and the greeting together, and for the first answer to each request, in
   * milliseconds (default 10,000).
   */
  timeoutMs?: number;
  /**
   * Interval of pings to an agent that is silent while an answer is awaited, in milliseconds
   * (default 30,000; 0: none). After three without an answer all open requests fail with TIMEOUT.
   */
  keepaliveMs?: number;
  signal?: AbortSignal;
  /**
   * Users besides this process's own and root, by uid, who may listen on a Unix socket that is
   * connected to, or `any`; without it those of the profile's `socket_owner`.
   */
  socketOwners?: "any" | readonly number[];
}

/**
 * Connects to an agent. One that has only the frames of matchlock's Go agent is recognised, with
 * `protocol` "go": each command, file and forwarded connection is then a connection of its own, and what
 * these frames cannot carry rejects with UNAVAILABLE and EOPNOTSUPP.
 *
 * @param address as on the command line: `3`, `vsock:3:5000`, `hybrid:/run/vm4.vsock`,
 * `unix:/run/agent.sock`, or the name of a profile.
 * @throws {VsockboxError} USAGE (malformed address), CONFIG (no such profile), UNAVAILABLE (no
 * listener, or not an agent), TIMEOUT, REFUSED (CID or token), ABORTED.
 * @throws {RangeError} for a duration that is negative or not a number.
 */
export async function connectAgent(address: string, options: ConnectOptions = {}): Promise<Agent> {
  const { timeoutMs, keepaliveMs, signal, allowClearToken: allowsClearToken } = options;
  assertDurations(options);
  const profile = profileOf(address);
  const tokenFile = options.token === undefined ? profile?.tokenFile : undefined;
  const token = tokenFile === undefined ? options.token : readToken(tokenFile);
  const owner = profile?.socketOwner;
  const socketOwners =
    options.socketOwners ??
    (owner === undefined ? undefined : parseSocketOwners(owner, "socket_owner"));
  const target = resolveAddress(address, EXEC_PORT);
  const dialing = { timeoutMs, keepaliveMs, signal, token, allowsClearToken, socketOwners };
  try {
    const client = await connectTwice(() => AgentClient.connect(target, dialing));
    return new Agent(channelLink(client));
  } catch (thrown) {
    if (!mayUseGoFrames(thrown, { token })) throw thrown;
    // A listener on a Unix socket has been asked before the error was thrown.
    if (target.kind !== "unix" && !(await answersGoFrames(target, dialing))) throw thrown;
    return new Agent(new GoLink(target, { timeoutMs, socketOwners }));
  }
}
