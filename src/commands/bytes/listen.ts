/** `vsockbox listen`: accepts connections and joins them to standard input and output or a command. */
import { ADDRESS } from "../shared/address-kind.ts";
import { formatAddress } from "../../net/address.ts";
import { listen, type Listener } from "../../net/listen.ts";
import { formatPeer, formatPeerHost } from "../../io/peer.ts";
import { RefusalLog } from "../../net/refusal-log.ts";
import type { SocketStream } from "../../io/stream.ts";
import { joinStandardStreams } from "./standard-streams.ts";
import { serveCommand } from "./serve-command.ts";
import { guardGroups } from "../../process/group-guard.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { isBrokenPipe, standardInput, StandardOutput } from "../../io/stdio.ts";
import { STATUS_BROKEN_PIPE } from "../../process/exit-status.ts";
import { openLog } from "../../process/service/log.ts";
import { printJson, reportError } from "../../ui/report.ts";
import { allowArguments, allowedCids } from "../shared/connect-options.ts";
import { flag, option, operand, type ArgumentValues } from "../../ui/argument.ts";
import { word } from "../../ui/value-kind.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { commandHint } from "../shared/error-hints.ts";

const ARGUMENTS = {
  address: operand(ADDRESS, { summary: "Where to listen" }),
  exec: option(word("LINE"), {
    summary: "Run this shell line for each connection, as its input and output",
  }),
  keepOpen: flag({
    short: "k",
    summary: "Accept further connections after the first; without --exec, input is not sent",
  }),
  seqpacket: flag({ summary: "Open a SOCK_SEQPACKET socket instead of a stream" }),
  noStdin: flag({ short: "n", summary: "Do not read standard input" }),
  quiet: flag({ short: "q", summary: "Do not print the address" }),
  verbose: flag({ short: "v", summary: "Print every connection to standard error" }),
  json: flag({ summary: "Print the address as JSON on standard output" }),
  ...allowArguments,
};

type Values = ArgumentValues<typeof ARGUMENTS>;

export const command = defineCommand({
  name: "listen",
  group: "Ports and bytes",
  summary: "Accept connections on standard input and output",
  args: ARGUMENTS,
  conflicts: { quiet: ["verbose"] },
  requires: { json: ["exec"] },
  examples: [
    {
      command: "vsockbox listen vsock::9999",
      explanation: "Print the bytes of the first peer, and send it the typed lines",
    },
    {
      command: "vsockbox listen vsock::7 --keep-open --exec cat",
      explanation: "An echo server, one `cat` per connection",
    },
    {
      command: "vsockbox listen vsock::22 -k --allow-cid host --exec 'sshd -i'",
      explanation: "ssh into a guest without a network, for the host only",
    },
    {
      command: "vsockbox listen hybrid:/run/vm4.vsock:9000 > dump.tar",
      explanation:
        "Receive the bytes that the guest sends to host port 9000 (binds /run/vm4.vsock_9000)",
    },
  ],
  async run(args) {
    const log = openLog({ threshold: args.quiet ? "warn" : args.verbose ? "debug" : "info" });
    const ended = Promise.withResolvers<number>();
    let listener: Listener | undefined;
    const refusals = new RefusalLog(log.warn);
    const service = args.exec === undefined ? standardStreams(args) : commands(args.exec, args);
    try {
      using _signals = onEndingSignal((signal) => ended.resolve(statusOfSignal(signal)));
      listener = listen(args.address.address, {
        allowed: allowedCids(args, "any"),
        seqpacket: args.seqpacket,
        traffic: "bulk",
        onConnection(stream) {
          if (!args.keepOpen) listener?.close();
          log.debug(`${formatPeer(stream.peer)} has connected`);
          service.accept(stream).then(
            (status) => {
              if (!args.keepOpen) ended.resolve(status);
            },
            (thrown: unknown) => {
              if (!args.keepOpen) ended.reject(thrown);
              else reportError(thrown, commandHint(thrown));
            },
          );
        },
        onRefusal: (peer) => refusals.note(formatPeerHost(peer), "not in --allow-cid"),
        onShortage: (reason) => log.warn(`${reason}; peers have to wait`),
      });
      const listening = formatAddress(listener.address);
      if (args.json) printJson({ listening });
      else log.info(`listening on ${listening}`);
      return await ended.promise;
    } catch (thrown) {
      if (isBrokenPipe(thrown)) return STATUS_BROKEN_PIPE;
      throw thrown;
    } finally {
      listener?.close();
      await service.stop();
    }
  },
});

interface Service {
  /** Serves one connection to its end; returns an exit status. */
  accept(stream: SocketStream): Promise<number>;
  stop(): Promise<void>;
}

/** One connection at a time on standard input and output; later ones wait for their turn. */
function standardStreams(args: Values): Service {
  const output = new StandardOutput(1);
  const keepOpen = args.keepOpen;
  const streams = new Set<SocketStream>();
  let turn: Promise<unknown> = Promise.resolve();
  let taken = false;
  const serve = async (stream: SocketStream) => {
    try {
      if (keepOpen) {
        for await (const chunk of stream) await output.write(chunk);
        await stream.close();
      } else {
        await joinStandardStreams(stream, args.noStdin ? undefined : standardInput(), output);
      }
      return 0;
    } finally {
      streams.delete(stream);
    }
  };
  return {
    accept(stream) {
      if (!keepOpen && taken) {
        stream.abort();
        return new Promise(() => undefined);
      }
      taken = true;
      streams.add(stream);
      const served = turn.then(() => serve(stream));
      turn = served.catch(() => undefined);
      return served;
    },
    stop() {
      for (const stream of streams) stream.abort();
      return Promise.resolve();
    },
  };
}

/** A command for each connection, side by side. */
function commands(line: string, args: Values): Service {
  guardGroups(openLog().warn);
  const running = new Map<SocketStream, Promise<unknown>>();
  const errors = new StandardOutput(2);
  let taken = false;
  return {
    async accept(stream) {
      if (!args.keepOpen && taken) {
        stream.abort();
        return new Promise(() => undefined);
      }
      taken = true;
      const served = serveCommand(line, stream, errors);
      running.set(stream, served);
      try {
        return await served;
      } finally {
        running.delete(stream);
      }
    },
    async stop() {
      for (const stream of running.keys()) stream.abort();
      await Promise.allSettled(running.values());
    },
  };
}
