/** `vsockbox guest-exec`: in the guest, connects to the host and runs its commands. */
import { toVsockboxError, VsockboxError } from "../../errors.ts";
import { type ReceiveOptions, receivedCommands } from "../../guest-exec/received.ts";
import { ReportedCommand } from "../../guest-exec/reporting.ts";
import {
  type CommandEnd,
  findShell,
  type OutputSinks,
  runInShell,
} from "../../guest-exec/shell.ts";
import { RunSignals } from "../../guest-exec/signals.ts";
import { parseTarget } from "../../guest-exec/target.ts";
import { formatAddress, type SocketAddress } from "../../net/address.ts";
import { dial } from "../../net/dial.ts";
import { dialWithRetry } from "../../net/dial-with-retry.ts";
import type { SocketStream } from "../../io/stream.ts";
import { StandardOutput } from "../../io/stdio.ts";
import { guardGroups } from "../../process/group-guard.ts";
import { REPORT_ANNOUNCEMENT } from "../../protocols/guest-exec/report.ts";
import { say } from "../../ui/report.ts";
import { StatusLine } from "../../ui/status-line.ts";
import { dialArguments, dialOptions } from "../shared/connect-options.ts";
import { eventOutput, type ExecOutput } from "../shared/json-output.ts";
import { flag, option, operand, type ArgumentValues } from "../../ui/argument.ts";
import { word, anyWord, DURATION } from "../../ui/value-kind.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { countOf } from "../../text/count.ts";

const ARGUMENTS = {
  target: operand(anyWord("CID:PORT"), {
    optional: true,
    mayBeEmpty: true,
    defaultText: "2:1024",
    summary: "CID:PORT of the host, or unix:PATH; an empty or malformed part has its default",
  }),
  mode: operand(anyWord("MODE"), {
    optional: true,
    mayBeEmpty: true,
    summary:
      "`persistent`: length-prefixed commands until the host closes; anything else: one command",
  }),
  retry: flag({ summary: "Wait until the host listens" }),
  retryTimeout: option(DURATION, {
    defaultText: "never",
    summary: "With --retry: stop with status 75 after this long",
  }),
  report: flag({
    summary: "Send status and output of each command back, for `guest-exec-host --report`",
  }),
  timeout: option(DURATION, {
    defaultText: "never",
    summary: "End a command after this long; its status is then 124",
  }),
  idleTimeout: option(DURATION, {
    defaultText: "never",
    summary: "Stop with status 75 if the host sends nothing for this long",
  }),
  settle: option(DURATION, {
    default: 200,
    summary:
      "A single command is complete once the host, its end still open, is silent for this long",
  }),
  shell: option(word("PATH"), {
    defaultText: "/bin/sh",
    summary: "Run commands with -c of this shell",
  }),
  quiet: flag({ short: "q", summary: "Print nothing but errors" }),
  ...dialArguments,
  json: flag({ summary: "Print output and status as JSON lines" }),
};

type Values = ArgumentValues<typeof ARGUMENTS>;

export const command = defineCommand({
  name: "guest-exec",
  group: "Guest services",
  summary: "Run the commands that the host sends",
  args: ARGUMENTS,
  examples: [
    {
      command: "vsockbox guest-exec",
      explanation: "Read one command from port 1024 of the host, run it, exit with its status",
    },
    {
      command: "vsockbox guest-exec --retry 2:2049 || echo failed > /dev/kmsg",
      explanation: "In an initrd's init: wait until the host listens on port 2049",
    },
    {
      command: "vsockbox guest-exec :1025 persistent",
      explanation: "Run commands one after the other until the host closes",
    },
    {
      command: "vsockbox guest-exec 2:1024 persistent --report --timeout 30",
      explanation: "Also report status and output to the host; no command runs longer than 30 s",
    },
    {
      command: "ln -s vsockbox vsock_guest_exec && ./vsock_guest_exec 2:2049 persistent",
      explanation: "In place of the C program of that name",
    },
  ],
  async run(args) {
    const { address, warnings } = parseTarget(args.target);
    if (!args.quiet) for (const warning of warnings) say(`vsockbox: ${warning}`);
    const receive: ReceiveOptions = {
      persistent: args.mode === "persistent",
      settleMs: args.settle,
      idleMs: args.idleTimeout,
    };
    const { timeout: timeoutMs, retryTimeout: retryTimeoutMs } = args;
    // Before a command is read from the host, which would then be lost.
    const shell = findShell(args.shell);
    const json = args.json
      ? (index: number) => eventOutput(new StandardOutput(1), { command: index })
      : undefined;
    using signals = new RunSignals();
    // The end of process 1 is the end of everything else as well.
    if (process.pid !== 1) guardGroups((message) => say(`vsockbox: ${message}`));
    try {
      const stream = await connect(args, address, retryTimeoutMs, signals);
      signals.onWaiting(() => stream.abort());
      const session = { args, stream, shell, timeoutMs, json, signals };
      return await serve(session, receivedCommands(stream, receive), receive.persistent);
    } catch (thrown) {
      if (signals.status !== undefined) return signals.status;
      const error = toVsockboxError(thrown);
      if (json !== undefined) await json(0).onError(error);
      throw error;
    }
  },
});

async function connect(
  args: Values,
  address: SocketAddress,
  timeoutMs: number | undefined,
  { signal }: RunSignals,
): Promise<SocketStream> {
  const options = { ...dialOptions(args, undefined, signal), anyCid: true };
  if (!args.retry) return dial(address, options);
  const shown = formatAddress(address);
  using line = new StatusLine(!args.quiet);
  let said = false;
  const { stream } = await dialWithRetry(address, {
    ...options,
    timeoutMs,
    onFailed(error) {
      line.show(`waiting for ${shown}: ${error.errno ?? error.message}`);
      if (!said && !args.quiet && !line.isEnabled) {
        say(`vsockbox: waiting for ${shown}: ${error.errno ?? error.message}`);
      }
      said = true;
    },
    giveUp: (last, tries) =>
      new VsockboxError({
        code: "TIMEOUT",
        operation: "reach",
        address: shown,
        message: `no answer after ${(timeoutMs ?? 0) / 1000} s and ${countOf(tries, "try", "tries")}; the last one: ${last.message}`,
        hint: last.hint,
        cause: last,
      }),
  });
  return stream;
}

interface Session {
  args: Values;
  stream: SocketStream;
  shell: string;
  timeoutMs: number | undefined;
  json: ((index: number) => ExecOutput) | undefined;
  signals: RunSignals;
}

async function serve(
  { args, stream, shell, timeoutMs, json, signals }: Session,
  commands: AsyncIterable<Uint8Array>,
  persistent: boolean,
): Promise<number> {
  const own = args.report ? ownOutput() : undefined;
  let tellsHost = args.report;
  let count = 0;
  let status = 0;
  try {
    // A host that has disconnected is reported by what follows.
    if (tellsHost) await stream.write(REPORT_ANNOUNCEMENT).catch(() => undefined);
    for await (const line of commands) {
      count++;
      const events = json?.(count);
      const reported = own === undefined ? undefined : new ReportedCommand(events ?? own);
      const sinks = reported?.sinks ?? events;
      const onStarted = signals.onStarted;
      const result = await runInShell(line, { shell, sinks, timeoutMs, onStarted });
      await events?.onExit({
        exit_code: result.code,
        signal: result.signal ?? null,
        timed_out: result.timedOut,
        duration_ms: Math.round(result.durationMs),
      });
      if (!args.quiet) sayResult(result, persistent ? count : undefined);
      if (reported !== undefined && tellsHost) {
        const failure = await reported.send(stream, result);
        tellsHost = failure === undefined;
        if (failure !== undefined) say(`vsockbox: the host receives no report: ${failure.message}`);
      }
      if (signals.status !== undefined && persistent) return signals.status;
      status = persistent ? 0 : result.code;
    }
    await stream.close();
    return status;
  } finally {
    stream.abort();
  }
}

/** In persistent mode only this line reports that a command has failed. */
function sayResult({ code, signal, timedOut, error }: CommandEnd, index: number | undefined): void {
  if (error !== undefined) return say(`vsockbox: ${error.message}`);
  if (timedOut) return say(`vsockbox: command${number(index)} ran out of time`);
  if (index === undefined || code === 0) return;
  const how = signal === undefined ? `exited with status ${code}` : `was ended by ${signal}`;
  say(`vsockbox: command${number(index)} ${how}`);
}

const number = (index: number | undefined) => (index === undefined ? "" : ` ${index}`);

/** This process's own standard output and errors. */
function ownOutput(): OutputSinks {
  const [stdout, stderr] = [new StandardOutput(1), new StandardOutput(2)];
  return {
    onStdout: (bytes) => stdout.write(bytes),
    onStderr: (bytes) => stderr.write(bytes),
  };
}
