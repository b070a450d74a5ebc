/** `vsockbox wait`: until a guest is ready. */
import type { AgentDialOptions } from "../../agent/client/handshake.ts";
import { EXEC_PORT, READY_PORT } from "../../agent/ports.ts";
import { proveReady, type ReadyProof, readyProofOf } from "../../agent/client/ready-probe.ts";
import { VsockboxError } from "../../errors.ts";
import { formatAddress, type SocketAddress, withDefaultPort } from "../../net/address.ts";
import { dialWithRetry } from "../../net/dial-with-retry.ts";
import type { SocketOwners } from "../../net/socket-owner.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { printJson } from "../../ui/report.ts";
import { StatusLine } from "../../ui/status-line.ts";
import {
  jsonArgument,
  socketOwnerArgument,
  socketOwners,
  targetStepPrinter,
  verboseArgument,
} from "../shared/connect-options.ts";
import { readAddress } from "../shared/address-kind.ts";
import { inEachTarget } from "../shared/each-target.ts";
import { tokenArguments, tokenOptions } from "../shared/target.ts";
import { splitTargets, targetListArgument } from "../shared/target-list.ts";
import type { JsonObject } from "../../protocols/agent/json-fields.ts";
import { flag, option, type ArgumentValues } from "../../ui/argument.ts";
import { DURATION } from "../../ui/value-kind.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { countOf } from "../../text/count.ts";

const ARGUMENTS = {
  ...targetListArgument,
  timeout: option(DURATION, {
    default: 60_000,
    summary: "Stop with status 75 after this long",
  }),
  agent: flag({
    summary: "Count only an agent as ready, which answers a Hello: for ports of your own",
  }),
  connectOnly: flag({
    summary: "Count any accepted connection as ready, even without an answer on it",
  }),
  quiet: flag({ short: "q", summary: "Print no progress line" }),
  ...verboseArgument,
  ...socketOwnerArgument,
  ...tokenArguments,
  ...jsonArgument,
};

type Values = ArgumentValues<typeof ARGUMENTS>;

export const command = defineCommand({
  name: "wait",
  group: "Diagnostics",
  summary: "Wait until the agent in a guest is ready",
  args: ARGUMENTS,
  conflicts: { agent: ["connectOnly"], tokenFile: ["connectOnly"] },
  examples: [
    { command: "vsockbox wait 3", explanation: "Until port 5002 of the VM with CID 3 answers" },
    { command: "vsockbox wait 3,4,web", explanation: "Until all of them are ready" },
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
    const names = splitTargets("wait", args.target);
    const interrupt = new AbortController();
    let status: number | undefined;
    using _signals = onEndingSignal((signal) => {
      status = statusOfSignal(signal);
      interrupt.abort();
    });
    const isSeveral = names.length > 1;
    using line = new StatusLine(!args.quiet && !args.verbose && !isSeveral);
    const wait = async (name: string) => {
      try {
        const result = await waitForTarget(args, name, interrupt.signal, line);
        if (args.json) printJson(isSeveral ? { target: name, ...result } : result);
        return 0;
      } catch (thrown) {
        if (status !== undefined) return status;
        throw thrown;
      }
    };
    const { json } = args;
    return await (isSeveral ? inEachTarget(names, wait, { json }) : wait(names[0]));
  },
});

/** Waits for one agent; returns the object of `--json`. */
async function waitForTarget(
  args: Values,
  name: string,
  signal: AbortSignal,
  line: StatusLine,
): Promise<JsonObject> {
  const { address: given } = readAddress(name);
  const target = withDefaultPort(given, provesToken(args) ? EXEC_PORT : READY_PORT);
  const begin = performance.now();
  const attempts = await waitUntilReady(
    {
      target,
      proof: proofOf(args, given),
      owners: socketOwners(args, name),
      onStep: args.verbose ? targetStepPrinter(name) : undefined,
      ...tokenOptions(args, name),
    },
    args.timeout,
    signal,
    line,
  );
  const waitedMs = Math.round(performance.now() - begin);
  line.clear();
  return { ready: true, address: formatAddress(target), attempts, waited_ms: waitedMs };
}

function proofOf(args: Values, given: SocketAddress): ReadyProof {
  if (args.agent || provesToken(args)) return "hello";
  return args.connectOnly ? "connection" : readyProofOf(given);
}

/** Whether an agent must prove that it knows a token, which it does on its own port. */
function provesToken({ tokenFile }: Values): boolean {
  return tokenFile !== undefined && tokenFile !== "";
}

/** The agent that is waited for, and the proof that it is ready. */
interface AwaitedAgent extends Pick<AgentDialOptions, "token" | "allowsClearToken"> {
  target: SocketAddress;
  proof: ReadyProof;
  owners: SocketOwners;
  /** Receives each step of each attempt as text. */
  onStep: ((step: string) => void) | undefined;
}

/** Returns the number of attempts. */
async function waitUntilReady(
  { target, proof, owners, onStep, ...secret }: AwaitedAgent,
  timeoutMs: number,
  signal: AbortSignal,
  line: StatusLine,
): Promise<number> {
  const { stream, tries } = await dialWithRetry(target, {
    timeoutMs,
    signal,
    socketOwners: owners,
    onStep,
    check: (opened, proofMs) =>
      proveReady(opened, proof, {
        address: target,
        timeoutMs: proofMs,
        signal,
        socketOwners: owners,
        ...secret,
      }),
    onFailed: (error) => {
      line.show(`waiting for ${formatAddress(target)}: ${error.errno ?? error.message}`);
      onStep?.(`not ready: ${error.message}`);
    },
    giveUp: (last, count) => notReady(target, timeoutMs, count, last),
  });
  onStep?.(`ready after ${countOf(tries, "try", "tries")}`);
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
    operation: "reach",
    address: formatAddress(target),
    message: `not ready after ${timeoutMs / 1000} s and ${countOf(tries, "try", "tries")}; the last one: ${last.message}`,
    hint: last.hint,
    cause: last,
  });
}
