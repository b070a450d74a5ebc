/** `vsockbox guest-exec-host`: waits for guests of guest-exec and sends them commands. */
import { ADDRESS } from "../shared/address-kind.ts";
import { commandLineError, VsockboxError } from "../../errors.ts";
import { commandLines, sendable } from "../../guest-exec/commands-to-send.ts";
import { DEFAULT_MAX_GUESTS, GuestExecHost, type HostEvents } from "../../guest-exec/host.ts";
import { formatAddress, type SocketAddress, withDefaultPort } from "../../net/address.ts";
import type { AllowedCids } from "../../net/allow-cid.ts";
import { listen, type Listener } from "../../net/listen.ts";
import { formatPeerHost } from "../../io/peer.ts";
import { RefusalLog } from "../../net/refusal-log.ts";
import type { ByteSource } from "../../io/pump.ts";
import { STATUS_BROKEN_PIPE, STATUS_TIMED_OUT } from "../../process/exit-status.ts";
import { rawArguments, rawWords } from "../../process/raw-arguments.ts";
import { hasTerminal } from "../../process/has-terminal.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { isBrokenPipe, standardInput, StandardOutput } from "../../io/stdio.ts";
import { quoteCommand } from "../../protocols/agent/shell-quote.ts";
import {
  C_PROGRAM_MAX_BYTES,
  GUEST_EXEC_PORT,
  trimCommand,
} from "../../protocols/guest-exec/command.ts";
import { openLog } from "../../process/service/log.ts";
import { allowArguments, allowedCids, CID_LIST } from "../shared/connect-options.ts";
import { jsonEvents, textEvents } from "./guest-exec-output.ts";
import { GuestExecPrompt } from "./guest-exec-prompt.ts";
import {
  flag,
  option,
  list,
  operand,
  commandLine,
  type ArgumentValues,
} from "../../ui/argument.ts";
import { anyWord, FILE, DURATION, integer } from "../../ui/value-kind.ts";
import { defineCommand } from "../../ui/command-definition.ts";

const TOO_MANY_GUESTS = "as many guests as --max-connections allows are connected";

const ARGUMENTS = {
  address: operand(ADDRESS, {
    summary: `Where to listen; port ${GUEST_EXEC_PORT} if it has none`,
  }),
  command: list(anyWord("LINE"), { short: "c", summary: "Send this shell line" }),
  file: option(FILE, {
    summary: "Send the lines of a file, each a command; `-` is standard input",
  }),
  script: option(FILE, {
    summary: "Send a whole file as one command, of at most 2048 bytes",
  }),
  persistent: flag({ summary: "Serve guests in persistent mode, with length-prefixed commands" }),
  report: flag({
    summary: "Receive status and output of guests started with --report; exit with their status",
  }),
  once: flag({ summary: "Serve a single guest, then exit" }),
  timeout: option(DURATION, {
    defaultText: "never",
    summary: "Exit after this long: with 75 if no guest has connected, 124 if one has not finished",
  }),
  maxConnections: option(integer(1, 1_000_000), {
    default: DEFAULT_MAX_GUESTS,
    summary: "Guests at once; excess ones are closed",
  }),
  cid: option({ ...CID_LIST, valueName: "CID" }, { summary: "Accept only this guest" }),
  ...allowArguments,
  quiet: flag({ short: "q", summary: "Print no messages about connections" }),
  json: flag({ summary: "Print events as JSON lines" }),
  words: commandLine({
    valueName: "[COMMAND [ARG...]]",
    summary: "Send this command; without any, the lines of a prompt or of standard input",
  }),
};

type Values = ArgumentValues<typeof ARGUMENTS>;

export const command = defineCommand({
  name: "guest-exec-host",
  group: "Run commands",
  summary: "Send commands to guests that connect with guest-exec",
  args: ARGUMENTS,
  conflicts: {
    words: ["command", "file", "script"],
    command: ["file", "script"],
    file: ["script"],
    cid: ["allowCid"],
  },
  examples: [
    {
      command: "vsockbox guest-exec-host vsock::1024 --once 'mount -a && exec /sbin/init'",
      explanation: "One line for the guest's shell, to one guest; any vsock_guest_exec runs it",
    },
    {
      command: "vsockbox guest-exec-host hybrid:/run/vm4.vsock --once --report -- uname -a",
      explanation:
        "For a guest of Firecracker (binds /run/vm4.vsock_1024); its status and output become ours",
    },
    {
      command: "vsockbox guest-exec-host vsock::1024 --script setup.sh",
      explanation: "The same script to every guest that connects, until Ctrl-C",
    },
    {
      command: "vsockbox guest-exec-host vsock::1024 --persistent --report",
      explanation: "A prompt: each typed line goes to all guests that are connected",
    },
    {
      command:
        "printf 'hostname\\nuptime\\n' | vsockbox guest-exec-host vsock::1024 --persistent --report --cid 3",
      explanation: "Lines of standard input, to the guest with CID 3",
    },
  ],
  async run(args) {
    const address = withDefaultPort(args.address.address, GUEST_EXEC_PORT);
    const allowed = allowedOf(args, address);
    const { timeout: timeoutMs, maxConnections: maxGuests } = args;
    const source = await sourceOf(args);
    const ended = Promise.withResolvers<number>();
    using _signals = onEndingSignal((signal) => ended.resolve(statusOfSignal(signal)));
    using prompt = source === "prompt" ? new GuestExecPrompt(() => ended.resolve(130)) : undefined;
    const json = args.json ? jsonEvents(new StandardOutput(1)) : undefined;
    const log = prompt?.sinks.log ?? openLog();
    const host: GuestExecHost = new GuestExecHost({
      persistent: args.persistent,
      report: args.report,
      once: args.once,
      maxGuests,
      commands: Array.isArray(source) && isForEach(source, args) ? source : undefined,
      events: withPrompt(guarded(json ?? text(args, prompt), ended), prompt, () => host.names),
    });
    const notAllowed = args.cid === undefined ? "not in --allow-cid" : "not the CID of --cid";
    let listener: Listener | undefined;
    const refusals = new RefusalLog(log.warn);
    let timer: Timer | undefined;
    try {
      listener = listen(address, {
        allowed,
        onConnection(stream) {
          if (args.once) listener?.close();
          if (!host.accept(stream)) refusals.note(formatPeerHost(stream.peer), TOO_MANY_GUESTS);
        },
        onRefusal: (peer) => refusals.note(formatPeerHost(peer), notAllowed),
        onShortage: (reason) => log.warn(`${reason}; peers have to wait`),
      });
      const shown = formatAddress(listener.address);
      json?.listening(shown);
      if (json === undefined && !args.quiet) log.info(`listening on ${shown}`);
      if (timeoutMs !== undefined) {
        timer = setTimeout(() => timeUp(host, shown, timeoutMs, ended), timeoutMs);
      }
      work(host, prompt ?? source, args).then(() => ended.resolve(host.status), ended.reject);
      return await ended.promise;
    } catch (thrown) {
      if (isBrokenPipe(thrown)) return STATUS_BROKEN_PIPE;
      throw thrown;
    } finally {
      clearTimeout(timer);
      listener?.close();
      host.close();
    }
  },
});

/** Commands that are known from the start, lines that come in, or lines that are typed. */
type Source = Uint8Array[] | AsyncIterable<Uint8Array> | "prompt";

function usage(message: string, hint?: string): VsockboxError {
  return commandLineError("guest-exec-host", message, hint);
}

function allowedOf(args: Values, address: SocketAddress): AllowedCids {
  const cid = args.cid;
  if (cid === undefined) return allowedCids(args, "any");
  if (address.kind !== "vsock") {
    throw usage("--cid needs a vsock address", "connections to a Unix socket have no CID");
  }
  return allowedCids(args, cid);
}

async function sourceOf(args: Values): Promise<Source> {
  const { command: lines, file, script, words } = args;
  const persistent = args.persistent;
  const checked = (commands: readonly Uint8Array[], name: string) =>
    warned(
      commands.map((bytes) => sendable(bytes, name, persistent)),
      persistent,
    );
  if (words.length > 0) return checked([commandOf(words)], "the command");
  if (lines.length > 0) return checked(rawWords(lines), "--command");
  if (script !== undefined) return checked([trimCommand(await readFile(script))], script);
  if (file !== undefined && file !== "-") {
    const commands: Uint8Array[] = [];
    for await (const line of commandLines(bytesOf(await readFile(file)), file)) commands.push(line);
    if (commands.length === 0) throw usage(`${file} has no commands`);
    return checked(commands, file);
  }
  if (file === undefined && hasTerminal() && !args.json) return "prompt";
  return warnedEach(atLeastOne(commandLines(standardInput(), "standard input")), persistent);
}

async function* atLeastOne(commands: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let none = true;
  for await (const line of commands) {
    none = false;
    yield line;
  }
  if (none) throw usage("standard input has no commands");
}

/** A single word is a shell line; several are a program and its arguments, as with `exec`. */
function commandOf(words: readonly string[]): Uint8Array {
  const raw = rawArguments(words.length, words);
  const [only] = raw;
  return raw.length === 1 && only !== undefined
    ? only
    : new TextEncoder().encode(quoteCommand(raw));
}

/** Warns of commands that the C program does not run as they are sent. */
function warned(commands: Uint8Array[], persistent: boolean): Uint8Array[] {
  if (commands.some(({ length }) => length > C_PROGRAM_MAX_BYTES)) {
    const effect = persistent ? "overruns its buffer" : "runs what its memory holds after it";
    openLog().warn(
      `a command of more than ${C_PROGRAM_MAX_BYTES} bytes: the C program vsock_guest_exec ${effect}`,
    );
  }
  return commands;
}

async function* warnedEach(
  commands: AsyncIterable<Uint8Array>,
  persistent: boolean,
): AsyncGenerator<Uint8Array> {
  for await (const line of commands) yield* warned([line], persistent);
}

async function readFile(path: string): Promise<Uint8Array> {
  // As a stream of bytes: it may be a pipe, as in --script <(…).
  return Bun.file(path).bytes();
}

async function* bytesOf(bytes: Uint8Array): ByteSource {
  yield bytes;
}

/** Whether every guest gets all commands; otherwise each disposable guest gets the next one. */
function isForEach(commands: readonly Uint8Array[], args: Values): boolean {
  return args.persistent || commands.length === 1;
}

function text(args: Values, prompt: GuestExecPrompt | undefined): HostEvents {
  const sinks = prompt?.sinks ?? {
    stdout: new StandardOutput(1),
    stderr: new StandardOutput(2),
    log: openLog(),
  };
  return textEvents(sinks, { prefix: !args.once, quiet: args.quiet });
}

/** The output has no reader any longer, as in `… | head -1`: that is not an error of the guest. */
function guarded(events: HostEvents, ended: PromiseWithResolvers<number>): HostEvents {
  return {
    ...events,
    async onReport(guest, index, report) {
      try {
        await events.onReport(guest, index, report);
      } catch (thrown) {
        ended.reject(thrown);
      }
    },
  };
}

/** The prompt shows who is connected. */
function withPrompt(
  events: HostEvents,
  prompt: GuestExecPrompt | undefined,
  names: () => string[],
): HostEvents {
  if (prompt === undefined) return events;
  return {
    ...events,
    onConnected(guest) {
      events.onConnected(guest);
      prompt.show(names());
    },
    onEnded(guest, error) {
      events.onEnded(guest, error);
      prompt.show(names());
    },
  };
}

/** Resolves when there is nothing more to be done. */
async function work(
  host: GuestExecHost,
  source: Source | GuestExecPrompt,
  args: Values,
): Promise<void> {
  const once = args.once ? host.firstEnded : new Promise<never>(() => undefined);
  if (Array.isArray(source)) {
    if (isForEach(source, args)) return once;
    return Promise.race([once, host.feed(each(source))]);
  }
  if (source === "prompt") throw new Error("the prompt is not open");
  return Promise.race([once, host.feed(source)]);
}

async function* each(commands: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* commands;
}

function timeUp(
  host: GuestExecHost,
  shown: string,
  timeoutMs: number,
  ended: PromiseWithResolvers<number>,
): void {
  if (host.count === 0) {
    const message = `no guest connected within ${timeoutMs / 1000} s`;
    const hint = "is the VM running, and does guest-exec in it connect to this port?";
    const operation = "accept a guest on";
    ended.reject(new VsockboxError({ code: "TIMEOUT", operation, address: shown, message, hint }));
    return;
  }
  const [name] = host.names;
  if (name !== undefined)
    openLog().warn(`guest ${name} has not ended within ${timeoutMs / 1000} s`);
  ended.resolve(name === undefined ? host.status : STATUS_TIMED_OUT);
}
