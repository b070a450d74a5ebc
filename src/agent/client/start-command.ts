/** Starts a command in a guest, over a channel or, with an old agent, over the Go agent's frames. */
import { textOf } from "../../protocols/agent/paths.ts";
import { formatAddress, type SocketAddress } from "../../net/address.ts";
import { dial } from "../../net/dial.ts";
import {
  goCommandLine,
  goEnvironmentOf,
  namesLostInShell,
} from "../../protocols/agent/go-command.ts";
import { FrameConnection } from "../channel/frame-connection.ts";
import { AgentClient } from "./agent-client.ts";
import type { CommandToRun } from "./remote-command.ts";
import { type AgentDialOptions, mayUseGoFrames } from "./handshake.ts";
import { GoCommand } from "./go-command.ts";
import type { RemoteProcess } from "./remote-process.ts";
import { assertSandboxSupport } from "./sandbox-support.ts";

/** An agent and how to reach it. */
export interface CommandTarget {
  address: SocketAddress;
  options: AgentDialOptions;
}

/**
 * Connects and starts a command. Its input is not read before the protocol is known.
 *
 * @param onWarning called with each part of the request that an old agent cannot fulfil.
 * @throws {VsockboxError} as `dial` and `performHandshake`; UNAVAILABLE if a sandbox is requested of an
 * agent that has none. A failed start rejects `exited` of the returned command.
 */
export async function startCommand(
  { address, options }: CommandTarget,
  command: CommandToRun,
  onWarning: (message: string) => void,
): Promise<RemoteProcess> {
  let client: AgentClient;
  try {
    client = await AgentClient.connect(address, options);
  } catch (thrown) {
    if (!mayUseGoFrames(thrown, options)) throw thrown;
    const silentEndHint = thrown.otherAddressHint;
    return startOnGoAgent({ address, options }, command, { onWarning, silentEndHint });
  }
  try {
    return client.spawn(command);
  } catch (thrown) {
    await client.close();
    throw thrown;
  }
}

/** Options of {@link startOnGoAgent}. */
export interface GoStartOptions {
  /** Called with the text for variables that the agent's shell may drop or change; may throw. */
  onWarning: (message: string) => void;
  /** The hint of the error if the agent closes the connection without a frame. */
  silentEndHint?: string | undefined;
}

/**
 * Starts a command on an agent that has only the Go agent's frames.
 *
 * @throws {VsockboxError} as `dial`; UNAVAILABLE if a sandbox is requested, which that agent would ignore.
 */
export async function startOnGoAgent(
  { address, options }: CommandTarget,
  command: CommandToRun,
  { onWarning, silentEndHint }: GoStartOptions,
): Promise<RemoteProcess> {
  assertSandboxSupport([], command.sandbox);
  const lost = namesLostInShell(command.env);
  if (lost.length > 0) {
    onWarning(
      `the agent runs commands by a shell, which may drop or change ${lost.map((name) => JSON.stringify(name)).join(", ")}`,
    );
  }
  const line = goCommandLine(command.program, { mayHaveArgs: false });
  const stream = await dial(address, options);
  const request = {
    command: line.command,
    args: line.args,
    workingDir: command.workingDir && textOf(command.workingDir),
    env: { ...goEnvironmentOf(command.env), ...line.env },
    user: command.user,
  };
  return GoCommand.start(new FrameConnection(stream), request, {
    address: formatAddress(address),
    input: command.input,
    tty: command.tty,
    silentEndHint,
  });
}
