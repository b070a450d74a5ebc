/** `vsockbox wait`: until a guest is ready. */
import { READY_PORT } from "../agent/ports.ts";
import { resolveAddress } from "../config/profiles.ts";
import { VsockboxError } from "../errors.ts";
import { formatAddress, type SocketAddress } from "../net/address.ts";
import { dial } from "../net/dial.ts";
import { backoffDelay, delay, type Backoff } from "../net/retry.ts";
import { onEndingSignal, statusOfSignal } from "../process/signals.ts";
import { parseDuration } from "../ui/arguments.ts";
import type { Command } from "../ui/command.ts";
import { printJson } from "../ui/report.ts";
import { StatusLine } from "../ui/status-line.ts";
import { jsonArgument } from "./common.ts";

/** How long to wait unless told otherwise. */
const DEFAULT_TIMEOUT_MS = 60_000;

/** Pauses between tries: a guest boots in tenths of a second or in tens of seconds. */
const BACKOFF: Backoff = { firstMs: 20, factor: 1.3, maxMs: 1000 };

/** A single try may take this long: a guest that boots accepts nothing and refuses nothing. */
const ATTEMPT_TIMEOUT_MS = 2000;

/** Errors that a guest which is still on its way gives; all others will not go away. */
const STILL_COMING = new Set(["UNAVAILABLE", "TIMEOUT", "TRANSPORT"]);

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
    quiet: { type: "boolean", alias: "q", description: "No progress line" },
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
      explanation: "Any other port works as well: whatever accepts a connection is ready",
    },
  ],
  async run(args) {
    const target = resolveAddress(args.required("target"), READY_PORT);
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
      const attempts = await waitUntilReady(target, timeoutMs, interrupt.signal, line);
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

/** Gives the number of tries that it took. */
async function waitUntilReady(
  target: SocketAddress,
  timeoutMs: number,
  signal: AbortSignal,
  line: StatusLine,
): Promise<number> {
  const deadline = performance.now() + timeoutMs;
  for (let attempt = 0; ; attempt++) {
    const left = deadline - performance.now();
    try {
      const attemptMs = Math.max(1, Math.min(left, ATTEMPT_TIMEOUT_MS));
      const stream = await dial(target, { signal, timeoutMs: attemptMs });
      await stream.close();
      return attempt + 1;
    } catch (thrown) {
      if (!(thrown instanceof VsockboxError) || !STILL_COMING.has(thrown.code)) throw thrown;
      const pause = backoffDelay(BACKOFF, attempt);
      if (deadline - performance.now() <= pause) throw notReady(target, timeoutMs, attempt, thrown);
      line.show(`waiting for ${formatAddress(target)}: ${thrown.errno ?? thrown.message}`);
      await delay(pause, signal);
    }
  }
}

function notReady(
  target: SocketAddress,
  timeoutMs: number,
  attempt: number,
  last: VsockboxError,
): VsockboxError {
  return new VsockboxError({
    code: "TIMEOUT",
    operation: "wait for",
    address: formatAddress(target),
    message: `not ready after ${timeoutMs / 1000} s and ${attempt + 1} tries; the last one: ${last.message}`,
    hint: last.hint,
    cause: last,
  });
}
