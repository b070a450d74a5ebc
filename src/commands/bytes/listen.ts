/** `vsockbox listen`: accepts connections and joins them to standard input and output or a command. */
import { resolveAddress } from "../../config/profiles.ts";
import { formatAddress } from "../../net/address.ts";
import { listen, type Listener } from "../../net/listen.ts";
import { formatPeerHost } from "../../io/peer.ts";
import { RefusalLog } from "../../net/refusal-log.ts";
import type { SocketStream } from "../../io/stream.ts";
import { joinStandardStreams } from "./standard-streams.ts";
import { serveCommand } from "./serve-command.ts";
import { guardGroups } from "../../process/group-guard.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { isBrokenPipe, standardInput, StandardOutput } from "../../io/stdio.ts";
import { STATUS_BROKEN_PIPE } from "../../process/exit-status.ts";
import type { Arguments, Command } from "../../ui/command.ts";
import { openLog } from "../../process/service/log.ts";
import { reportError } from "../../ui/report.ts";
import { allowArguments, allowedCids } from "../shared/connect-options.ts";

export const command: Command = {
  name: "listen",
  description: "Accept connections and join them to standard input and output, or to a command",
  args: {
    address: { type: "positional", required: true, description: "Where to listen" },
    exec: {
      type: "string",
      alias: "e",
      valueHint: "LINE",
      description: "Run this shell line for each connection, joined to it",
    },
    "keep-open": {
      type: "boolean",
      alias: "k",
      description: "Go on after the first connection (without --exec, input is not sent)",
    },
    seqpacket: { type: "boolean", description: "SOCK_SEQPACKET instead of a stream" },
    "no-stdin": { type: "boolean", alias: "n", description: "Send nothing; only read" },
    quiet: { type: "boolean", alias: "q", description: "Do not say where it listens" },
    ...allowArguments,
  },
  examples: [
    {
      command: "vsockbox listen vsock::9999",
      explanation: "Print what the first peer sends, and send it what is typed",
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
      explanation: "Take what the guest sends to host port 9000 (binds /run/vm4.vsock_9000)",
    },
  ],
  async run(args) {
    const log = openLog({ threshold: args.flag("quiet") ? "warn" : "info" });
    const ended = Promise.withResolvers<number>();
    let listener: Listener | undefined;
    const refusals = new RefusalLog(log.warn);
    const service = args.string("exec") === undefined ? standardStreams(args) : commands(args);
    try {
      using _signals = onEndingSignal((signal) => ended.resolve(statusOfSignal(signal)));
      listener = listen(resolveAddress(args.required("address")), {
        allowed: allowedCids(args, "any"),
        seqpacket: args.flag("seqpacket"),
        onConnection(stream) {
          if (!args.flag("keep-open")) listener?.close();
          service.accept(stream).then(
            (status) => {
              if (!args.flag("keep-open")) ended.resolve(status);
            },
            (thrown: unknown) => {
              if (!args.flag("keep-open")) ended.reject(thrown);
              else reportError(thrown);
            },
          );
        },
        onRefusal: (peer) => refusals.note(formatPeerHost(peer), "not in --allow-cid"),
        onShortage: (reason) => log.warn(`cannot accept: ${reason}; peers have to wait`),
      });
      log.info(`listening on ${formatAddress(listener.address)}`);
      return await ended.promise;
    } catch (thrown) {
      if (isBrokenPipe(thrown)) return STATUS_BROKEN_PIPE;
      throw thrown;
    } finally {
      listener?.close();
      await service.stop();
    }
  },
};

interface Service {
  /** Serves one connection to its end; gives an exit status. */
  accept(stream: SocketStream): Promise<number>;
  stop(): Promise<void>;
}

/** One connection at a time on standard input and output; later ones wait for their turn. */
function standardStreams(args: Arguments): Service {
  const output = new StandardOutput(1);
  const keepOpen = args.flag("keep-open");
  const streams = new Set<SocketStream>();
  let turn: Promise<unknown> = Promise.resolve();
  let taken = false;
  const serve = async (stream: SocketStream) => {
    try {
      if (keepOpen) {
        for await (const chunk of stream) await output.write(chunk);
        await stream.close();
      } else {
        await joinStandardStreams(
          stream,
          args.flag("no-stdin") ? undefined : standardInput(),
          output,
        );
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
function commands(args: Arguments): Service {
  const line = args.required("exec");
  guardGroups(openLog().warn);
  const running = new Map<SocketStream, Promise<unknown>>();
  const errors = new StandardOutput(2);
  let taken = false;
  return {
    async accept(stream) {
      if (!args.flag("keep-open") && taken) {
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
