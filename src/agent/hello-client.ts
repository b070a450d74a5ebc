/** The host's first words to an agent: what it can do, and the token where it wants one. */
import { VsockboxError } from "../errors.ts";
import { formatAddress, type SocketAddress } from "../net/address.ts";
import { DEFAULT_CONNECT_TIMEOUT_MS, dial, type DialOptions } from "../net/dial.ts";
import { withDeadline } from "../net/retry.ts";
import type { SocketStream } from "../net/stream.ts";
import { CHANNEL_WINDOW_BYTES } from "../protocols/agent/credit.ts";
import {
  encodeJsonFrame,
  frameName,
  FrameType,
  MAX_UNAUTHENTICATED_FRAME_BYTES,
} from "../protocols/agent/frame.ts";
import {
  decodeHello,
  encodeHello,
  FEATURES,
  type Hello,
  PROTOCOL_VERSION,
} from "../protocols/agent/hello.ts";
import { REFUSED_TEXT } from "../protocols/agent/refused.ts";
import { printable } from "../printable.ts";
import { VERSION } from "../version.ts";
import { FrameConnection } from "./frame-connection.ts";

/** How to reach an agent. */
export interface AgentDialOptions extends DialOptions {
  /** The secret of an agent that was started with `--token-file`. */
  token?: string | undefined;
  /** Between pings to an agent that is silent while an answer is due, in milliseconds; 0: none. */
  keepaliveMs?: number | undefined;
}

/** An agent that does not answer a Hello: it has the frames of the Go agent alone. */
export class OldAgentError extends VsockboxError {
  constructor(address: string) {
    super({
      code: "UNAVAILABLE",
      operation: "greet the agent at",
      address,
      message: "it closed the connection: it is no vsockbox agent, or an old one",
      hint: "exec, shell, forward -L and cp of single files work with any agent; for the rest run `vsockbox agent` in the guest",
    });
  }
}

/** A connection on which both sides have said Hello. */
export interface GreetedConnection {
  connection: FrameConnection;
  hello: Hello;
}

/**
 * Connects and says Hello.
 *
 * @throws {OldAgentError} where the agent knows no Hello.
 * @throws {VsockboxError} REFUSED (CID or token), TIMEOUT, and as `dial`.
 */
export async function greetAgent(
  address: SocketAddress,
  options: AgentDialOptions = {},
): Promise<GreetedConnection> {
  const stream = await dial(address, options);
  const connection = new FrameConnection(stream, {
    maxFrameBytes: MAX_UNAUTHENTICATED_FRAME_BYTES,
  });
  try {
    const hello = await withDeadline(exchange(connection, address, options.token), {
      milliseconds: options.timeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS,
      signal: options.signal,
      timeoutError: () =>
        new VsockboxError({
          code: "TIMEOUT",
          operation: "greet the agent at",
          address: formatAddress(address),
          message: "no answer in time",
          hint: "is it an agent that listens there?",
        }),
      onGiveUp: (reason) => stream.abort(reason),
    });
    return { connection, hello };
  } catch (thrown) {
    stream.abort();
    throw thrown;
  }
}

async function exchange(
  connection: FrameConnection,
  address: SocketAddress,
  token: string | undefined,
): Promise<Hello> {
  const shown = formatAddress(address);
  const own: Hello = {
    protocol: PROTOCOL_VERSION,
    version: `vsockbox ${VERSION}`,
    features: FEATURES,
    window: CHANNEL_WINDOW_BYTES,
    token,
  };
  let said = "";
  try {
    await connection.sendEncoded(encodeJsonFrame(FrameType.Hello, encodeHello(own)));
    for (;;) {
      const frame = await connection.next();
      if (frame === undefined) break;
      if (frame.type === FrameType.Hello) return decodeHello(frame.payload);
      if (frame.type !== FrameType.Stderr) {
        throw new VsockboxError({
          code: "BAD_DATA",
          operation: "greet the agent at",
          address: shown,
          message: `it answered with an unexpected ${frameName(frame.type)} frame`,
          hint: "is it an agent that listens there?",
        });
      }
      if (said.length < 1024) said += new TextDecoder().decode(frame.payload);
    }
  } catch (thrown) {
    if (!(thrown instanceof VsockboxError) || thrown.code !== "TRANSPORT") throw thrown;
  }
  if (said === "") throw new OldAgentError(shown);
  throw refusedBy(said) ?? new OldAgentError(shown);
}

/** The error for an agent that lets nobody in, by what it said; undefined for other words. */
export function refusedBy(said: string): VsockboxError | undefined {
  if (!said.includes(REFUSED_TEXT)) return undefined;
  const aboutToken = said.includes("token");
  return new VsockboxError({
    code: "REFUSED",
    operation: "enter",
    message: printable(
      said
        .trim()
        .replace(/^vsockbox agent: /, "")
        .replace(/^accept: /, ""),
    ),
    hint: aboutToken
      ? "give the agent's token: --token-file FILE, or token_file in the VM's profile"
      : "start the agent with --allow-cid naming this side's CID (1 for the same machine, 2 for the host)",
  });
}

/**
 * Connects for one of the modes that begin without a Hello; says it all the same where there is a
 * token to be shown.
 *
 * @throws {VsockboxError} as `dial` and {@link greetAgent}.
 */
export async function dialAgent(
  address: SocketAddress,
  options: AgentDialOptions = {},
): Promise<SocketStream> {
  if (options.token === undefined) return dial(address, options);
  const { connection } = await greetAgent(address, options);
  return connection.detach();
}
