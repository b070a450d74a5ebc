/** `vsockbox forward`: ports of the guest on this machine. */
import { EXEC_PORT } from "../agent/ports.ts";
import { openPortForward } from "../agent/port-forward-client.ts";
import { resolveAddress } from "../config/profiles.ts";
import { reasonOf, VsockboxError } from "../errors.ts";
import { formatAddress, type SocketAddress } from "../net/address.ts";
import { dial, type DialOptions } from "../net/dial.ts";
import { formatHostPort, parseForward, type ForwardSpec } from "../net/forward-spec.ts";
import { listen } from "../net/listen.ts";
import { pump } from "../net/pump.ts";
import type { SocketStream } from "../net/stream.ts";
import { listenTcp } from "../net/tcp.ts";
import { onEndingSignal } from "../process/signals.ts";
import type { Command } from "../ui/command.ts";
import { printJson, say } from "../ui/report.ts";
import { connectTimeoutArgument, dialOptions, jsonArgument } from "./common.ts";

export const command: Command = {
  name: "forward",
  description: "Reach TCP ports inside a guest through ports of this machine",
  args: {
    target: { type: "positional", required: true, description: "The agent's address" },
    local: {
      type: "string",
      alias: "L",
      valueHint: "[BIND:]PORT:HOST:PORT",
      repeatable: true,
      description: "Listen here, connect there; also /path.sock:HOST:PORT. May be repeated",
    },
    quiet: { type: "boolean", alias: "q", description: "Say nothing but errors" },
    ...connectTimeoutArgument,
    ...jsonArgument,
  },
  examples: [
    {
      command: "vsockbox forward 3 -L 8080:localhost:80",
      explanation: "http://127.0.0.1:8080 is the web server in the guest",
    },
    {
      command: "vsockbox forward 3 -L 5432:localhost:5432 -L /tmp/redis.sock:localhost:6379",
      explanation: "Several at once, also from a Unix socket",
    },
    {
      command: "vsockbox forward 3 -L 0:localhost:80 --json",
      explanation: "On a port that the kernel chooses; the ready line says which",
    },
  ],
  async run(args) {
    const target = resolveAddress(args.required("target"), EXEC_PORT);
    const specs = args.list("local").map(parseForward);
    if (specs.length === 0) {
      throw new VsockboxError({
        code: "USAGE",
        operation: "forward",
        message: "there is nothing to forward",
        hint: "name at least one port: -L 8080:localhost:80",
      });
    }
    const streams = new Set<SocketStream>();
    const listeners: { close(): void }[] = [];
    const ended = Promise.withResolvers<number>();
    using _signals = onEndingSignal(() => ended.resolve(0));
    try {
      for (const spec of specs) {
        const opened = openListener(spec, (stream) => {
          streams.add(stream);
          void carry(stream, target, spec, dialOptions(args)).finally(() => streams.delete(stream));
        });
        listeners.push(opened);
        const to = formatHostPort(spec.remote.host, spec.remote.port);
        const ready = { listening: opened.where, target: formatAddress(target), to };
        if (args.flag("json")) printJson(ready);
        else if (!args.flag("quiet")) {
          say(`vsockbox: forwarding ${ready.listening} to ${to} in ${ready.target}`);
        }
      }
      return await ended.promise;
    } finally {
      for (const listener of listeners) listener.close();
      for (const stream of streams) stream.abort();
    }
  },
};

function openListener(
  { local }: ForwardSpec,
  onConnection: (stream: SocketStream) => void,
): { where: string; close(): void } {
  if (local.kind === "unix") {
    const listener = listen(local, { allowed: "any", onConnection });
    return { where: formatAddress(local), close: () => listener.close() };
  }
  const listener = listenTcp(local.host, local.port, onConnection);
  return { where: formatHostPort(local.host, listener.port), close: () => listener.close() };
}

/** One connection from end to end. A failure ends it alone: the next one dials the guest anew. */
async function carry(
  stream: SocketStream,
  target: SocketAddress,
  { remote }: ForwardSpec,
  options: DialOptions,
): Promise<void> {
  try {
    const connection = await dial(target, options);
    const forwarded = await openPortForward(connection, remote.host, remote.port);
    await pump(stream, forwarded);
    await Promise.all([stream.close(), forwarded.close()]);
  } catch (thrown) {
    stream.abort();
    say(`vsockbox: ${formatHostPort(remote.host, remote.port)}: ${reasonOf(thrown).message}`);
  }
}
