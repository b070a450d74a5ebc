/** `vsockbox wait`: until a guest is ready. */
import { READY_PORT } from "../../agent/ports.ts";
import { proveReady, type ReadyProof, readyProofOf } from "../../agent/client/ready-probe.ts";
import { resolveAddress } from "../../config/profiles.ts";
import { VsockboxError } from "../../errors.ts";
import { formatAddress, type SocketAddress, withDefaultPort } from "../../net/address.ts";
import { dialWithRetry } from "../../net/dial-with-retry.ts";
import type { SocketOwners } from "../../net/socket-owner.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { parseDuration } from "../../text/quantities.ts";
import type { Arguments, Command } from "../../ui/command.ts";
import { printJson } from "../../ui/report.ts";
import { StatusLine } from "../../ui/status-line.ts";
import { jsonArgument, socketOwnerArgument, socketOwners } from "../shared/connect-options.ts";

/** How long to wait unless told otherwise. */
const DEFAULT_TIMEOUT_MS = 60_000;

export const command: Command = {
  name: "wait",
  description: "Wait until the agent in a guest is ready",
  args: {
    target: { type: "positional", required: true, description: "The agent's address" },
    timeout: {
      type: "string",
      alias: "t",
      valueHint: "TIME",
      description: `Give up after this long, with status 75 (default ${DEFAULT_TIMEOUT_MS / 1000}s)`,
    },
    agent: {
      type: "boolean",
      description: "Count an agent alone as ready, which answers a Hello: for ports of your own",
    },
    "connect-only": {
      type: "boolean",
      description: "Count any accepted connection as ready, also without an answer on it",
    },
    quiet: { type: "boolean", alias: "q", description: "No progress line" },
    ...socketOwnerArgument,
    ...jsonArgument,
  },
  examples: [
    { command: "vsockbox wait 3", explanation: "Until port 5002 of the VM with CID 3 answers" },
    {
      command:
        "vsockbox wait hybrid:/run/vm4.vsock --timeout 30 && vsockbox exec hybrid:/run/vm4.vsock -- id",
      explanation: "After the VM was started",
    },
    {
      command: "vsockbox wait 3:22 --timeout 2m",
      explanation: "Any other port works as well: a service that accepts a connection is ready",
    },
  ],
  async run(args) {
    const given = resolveAddress(args.required("target"));
    const target = withDefaultPort(given, READY_PORT);
    const proof = proofOf(args, given);
    const timeoutMs = parseDuration(args.string("timeout") ?? `${DEFAULT_TIMEOUT_MS}ms`, "timeout");
    const interrupt = new AbortController();
    let status: number | undefined;
    using _signals = onEndingSignal((signal) => {
      status = statusOfSignal(signal);
      interrupt.abort();
    });
    using line = new StatusLine(!args.flag("quiet"));
    const begin = performance.now();
    try {
      const attempts = await waitUntilReady(
        { target, proof, owners: socketOwners(args, args.required("target")) },
        timeoutMs,
        interrupt.signal,
        line,
      );
      const waitedMs = Math.round(performance.now() - begin);
      line.clear();
      if (args.flag("json")) {
        printJson({ ready: true, address: formatAddress(target), attempts, waited_ms: waitedMs });
      }
      return 0;
    } catch (thrown) {
      if (status !== undefined) return status;
      throw thrown;
    }
  },
};

function proofOf(args: Arguments, given: SocketAddress): ReadyProof {
  if (args.flag("agent") && args.flag("connect-only")) {
    throw new VsockboxError({
      code: "USAGE",
      operation: "wait",
      message: "--agent and --connect-only exclude each other",
    });
  }
  if (args.flag("agent")) return "hello";
  return args.flag("connect-only") ? "connection" : readyProofOf(given);
}

/** Returns the number of tries that it took. */
async function waitUntilReady(
  { target, proof, owners }: { target: SocketAddress; proof: ReadyProof; owners: SocketOwners },
  timeoutMs: number,
  signal: AbortSignal,
  line: StatusLine,
): Promise<number> {
  const { stream, tries } = await dialWithRetry(target, {
    timeoutMs,
    signal,
    socketOwners: owners,
    check: (opened, proofMs) =>
      proveReady(opened, proof, {
        address: target,
        timeoutMs: proofMs,
        signal,
        socketOwners: owners,
      }),
    onFailed: (error) =>
      line.show(`waiting for ${formatAddress(target)}: ${error.errno ?? error.message}`),
    giveUp: (last, count) => notReady(target, timeoutMs, count, last),
  });
  await stream.close();
  return tries;
}

function notReady(
  target: SocketAddress,
  timeoutMs: number,
  tries: number,
  last: VsockboxError,
): VsockboxError {
  return new VsockboxError({
    code: "TIMEOUT",
    operation: "wait for",
    address: formatAddress(target),
    message: `not ready after ${timeoutMs / 1000} s and ${tries} tries; the last one: ${last.message}`,
    hint: last.hint,
    cause: last,
  });
}
