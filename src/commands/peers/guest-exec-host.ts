/** `vsockbox guest-exec-host`: waits for guests of guest-exec and sends them commands. */
import { resolveAddress } from "../../config/profiles.ts";
import { VsockboxError } from "../../errors.ts";
import { commandLines, sendable } from "../../guest-exec/commands-to-send.ts";
import { DEFAULT_MAX_GUESTS, GuestExecHost, type HostEvents } from "../../guest-exec/host.ts";
import { formatAddress, type SocketAddress } from "../../net/address.ts";
import { type AllowedCids, parseAllowedCids } from "../../net/allow-cid.ts";
import { listen, type Listener } from "../../net/listen.ts";
import { formatPeerHost } from "../../io/peer.ts";
import { RefusalLog } from "../../net/refusal-log.ts";
import type { ByteSource } from "../../io/pump.ts";
import { STATUS_BROKEN_PIPE, STATUS_TIMED_OUT } from "../../process/exit-status.ts";
import { rawArguments, rawWords } from "../../process/raw-arguments.ts";
import { hasTerminal } from "../../process/raw-terminal.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { isBrokenPipe, standardInput, StandardOutput } from "../../io/stdio.ts";
import { quoteCommand } from "../../protocols/agent/shell-quote.ts";
import {
  C_PROGRAM_MAX_BYTES,
  GUEST_EXEC_PORT,
  trimCommand,
} from "../../protocols/guest-exec/command.ts";
import { parseDuration, parseInteger } from "../../text/quantities.ts";
import type { Arguments, Command } from "../../ui/command.ts";
import { openLog } from "../../process/service/log.ts";
import { allowArguments, allowedCids, jsonArgument } from "../shared/connect-options.ts";
import { jsonEvents, textEvents } from "./guest-exec-output.ts";
import { GuestExecPrompt } from "./guest-exec-prompt.ts";

const TOO_MANY_GUESTS = "as many guests as --max-connections allows are connected";

export const command: Command = {
  name: "guest-exec-host",
  description: "On the host: send commands to guests that connect with guest-exec",
  args: {
    address: {
      type: "positional",
      required: true,
      description: "Where to listen (port 1024 unless one is named)",
    },
    command: {
      type: "string",
      alias: "c",
      valueHint: "LINE",
      repeatable: true,
      description: "Send this shell line; may be repeated",
    },
    file: {
      type: "string",
      alias: "f",
      valueHint: "FILE",
      description: "Send the lines of a file, each a command; `-` is standard input",
    },
    script: {
      type: "string",
      valueHint: "FILE",
      description: "Send a whole file as one command, of up to 2048 bytes",
    },
    persistent: {
      type: "boolean",
      alias: "p",
      description: "For guests in persistent mode: lengths in front of commands",
    },
    report: {
      type: "boolean",
      description:
        "Take status and output of guests started with --report; the status becomes ours",
    },
    once: { type: "boolean", description: "Serve a single guest, then end" },
    timeout: {
      type: "string",
      valueHint: "TIME",
      description: "End after this long: with 75 where no guest came, 124 where one has not ended",
    },
    "max-connections": {
      type: "string",
      valueHint: "COUNT",
      description: `Guests that may be connected at once; more are closed (default ${DEFAULT_MAX_GUESTS})`,
    },
    cid: { type: "string", valueHint: "CID", description: "Let only this guest connect" },
    ...allowArguments,
    quiet: { type: "boolean", alias: "q", description: "Do not say who comes and goes" },
    json: { ...jsonArgument.json, description: "Print what happens as JSON lines" },
  },
  restName: "COMMAND…",
  examples: [
    {
      command: "vsockbox guest-exec-host vsock::1024 --once 'mount -a && exec /sbin/init'",
      explanation: "One line for the guest's shell, to one guest; any vsock_guest_exec takes it",
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
    const address = resolveAddress(args.required("address"), GUEST_EXEC_PORT);
    const allowed = allowedOf(args, address);
    const timeout = args.string("timeout");
    const timeoutMs = timeout === undefined ? undefined : parseDuration(timeout, "timeout");
    const limit = args.string("max-connections");
    const maxGuests =
      limit === undefined ? undefined : parseInteger(limit, "max-connections", 1, 1_000_000);
    const source = await sourceOf(args);
    const ended = Promise.withResolvers<number>();
    using _signals = onEndingSignal((signal) => ended.resolve(statusOfSignal(signal)));
    using prompt = source === "prompt" ? new GuestExecPrompt(() => ended.resolve(130)) : undefined;
    const json = args.flag("json") ? jsonEvents(new StandardOutput(1)) : undefined;
    const log = prompt?.sinks.log ?? openLog();
    const host: GuestExecHost = new GuestExecHost({
      persistent: args.flag("persistent"),
      report: args.flag("report"),
      once: args.flag("once"),
      maxGuests,
      commands: Array.isArray(source) && isForEach(source, args) ? source : undefined,
      events: withPrompt(guarded(json ?? text(args, prompt), ended), prompt, () => host.names),
    });
    const notAllowed =
      args.string("cid") === undefined ? "not in --allow-cid" : "not the CID of --cid";
    let listener: Listener | undefined;
    const refusals = new RefusalLog(log.warn);
    let timer: Timer | undefined;
    try {
      listener = listen(address, {
        allowed,
        onConnection(stream) {
          if (args.flag("once")) listener?.close();
          if (!host.accept(stream)) refusals.note(formatPeerHost(stream.peer), TOO_MANY_GUESTS);
        },
        onRefusal: (peer) => refusals.note(formatPeerHost(peer), notAllowed),
        onShortage: (reason) => log.warn(`cannot accept: ${reason}; peers have to wait`),
      });
      const shown = formatAddress(listener.address);
      json?.listening(shown);
      if (json === undefined && !args.flag("quiet")) log.info(`listening on ${shown}`);
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
};

/** Commands that are known from the start, lines that come in, or lines that are typed. */
type Source = Uint8Array[] | AsyncIterable<Uint8Array> | "prompt";

function usage(message: string, hint?: string): VsockboxError {
  return new VsockboxError({ code: "USAGE", operation: "guest-exec-host", message, hint });
}

function allowedOf(args: Arguments, address: SocketAddress): AllowedCids {
  const cid = args.string("cid");
  if (cid === undefined) return allowedCids(args, "any");
  if (args.string("allow-cid") !== undefined) {
    throw usage("--cid and --allow-cid exclude each other");
  }
  if (address.kind !== "vsock") {
    throw usage("--cid needs a vsock address", "connections to a Unix socket have no CID");
  }
  return allowedCids(args, parseAllowedCids(cid));
}

async function sourceOf(args: Arguments): Promise<Source> {
  const lines = args.list("command");
  const [file, script] = [args.string("file"), args.string("script")];
  const given = [
    args.rest.length > 0,
    lines.length > 0,
    file !== undefined,
    script !== undefined,
  ].filter(Boolean);
  if (given.length > 1) throw usage("a command, --command, --file and --script exclude each other");
  const persistent = args.flag("persistent");
  const checked = (commands: readonly Uint8Array[], name: string) =>
    warned(
      commands.map((bytes) => sendable(bytes, name, persistent)),
      persistent,
    );
  if (args.rest.length > 0) return checked([commandOf(args.rest)], "the command");
  if (lines.length > 0) return checked(rawWords(lines), "--command");
  if (script !== undefined) return checked([trimCommand(await readFile(script))], script);
  if (file !== undefined && file !== "-") {
    const commands: Uint8Array[] = [];
    for await (const line of commandLines(bytesOf(await readFile(file)), file)) commands.push(line);
    if (commands.length === 0) throw usage(`${file} has no commands`);
    return checked(commands, file);
  }
  if (file === undefined && hasTerminal() && !args.flag("json")) return "prompt";
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

/** Whether every guest gets all of it; otherwise each disposable guest takes the next command. */
function isForEach(commands: readonly Uint8Array[], args: Arguments): boolean {
  return args.flag("persistent") || commands.length === 1;
}

function text(args: Arguments, prompt: GuestExecPrompt | undefined): HostEvents {
  const sinks = prompt?.sinks ?? {
    stdout: new StandardOutput(1),
    stderr: new StandardOutput(2),
    log: openLog(),
  };
  return textEvents(sinks, { prefix: !args.flag("once"), quiet: args.flag("quiet") });
}

/** Nobody reads the output any more, as in `… | head -1`: that is not the guest's fault. */
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
  args: Arguments,
): Promise<void> {
  const once = args.flag("once") ? host.firstEnded : new Promise<never>(() => undefined);
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
    const operation = "wait for a guest on";
    ended.reject(new VsockboxError({ code: "TIMEOUT", operation, address: shown, message, hint }));
    return;
  }
  const [name] = host.names;
  if (name !== undefined)
    openLog().warn(`guest ${name} has not ended within ${timeoutMs / 1000} s`);
  ended.resolve(name === undefined ? host.status : STATUS_TIMED_OUT);
}
