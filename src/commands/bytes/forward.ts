/** `vsockbox forward`: ports and Unix sockets of a guest on the host, and of the host in a guest. */
import { mayUseGoFrames, performHandshake } from "../../agent/client/handshake.ts";
import { commandLineError, reasonOf } from "../../errors.ts";
import { formatEndpoint } from "../../text/endpoint.ts";
import { parseForward } from "../../net/forward-spec.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { openLog } from "../../process/service/log.ts";
import { printJson } from "../../ui/report.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import {
  type ForwardEvents,
  LocalForwards,
  RemoteForwards,
  type ReadyForward,
} from "./forwards.ts";
import {
  agentArguments,
  usualTargetArgument,
  type AgentTarget,
  agentTarget,
  askForTarget,
  shownTarget,
} from "../shared/target.ts";
import { flag, list } from "../../ui/argument.ts";
import { word } from "../../ui/value-kind.ts";
import { defineCommand } from "../../ui/command-definition.ts";

export const command = defineCommand({
  name: "forward",
  group: "Ports and bytes",
  summary: "Forward TCP ports and Unix sockets to and from a guest",
  args: {
    ...usualTargetArgument,
    local: list(word("[BIND:]PORT:HOST:PORT"), {
      short: "L",
      summary:
        "Listen here and connect in the guest; /PATH in place of a port or of HOST:PORT is a Unix socket",
    }),
    remote: list(word("[BIND:]PORT:HOST:PORT"), {
      short: "R",
      summary: "Listen in the guest and connect here; Unix sockets as with -L",
    }),
    reconnect: flag({ summary: "Open the listeners in the guest again after it was restarted" }),
    lazy: flag({ summary: "Listen even if the agent cannot be reached yet" }),
    quiet: flag({ short: "q", summary: "Print nothing but errors" }),
    ...agentArguments,
    ...jsonArgument,
  },
  examples: [
    {
      command: "vsockbox forward 3 -L 8080:localhost:80",
      explanation: "http://127.0.0.1:8080 is the web server in the guest",
    },
    {
      command: "vsockbox forward 3 -L 5432:localhost:5432 -L ~/docker.sock:/run/docker.sock",
      explanation: "Several at once, also Unix sockets on either end",
    },
    {
      command: "vsockbox forward 3 -R 3128:localhost:3128 --reconnect",
      explanation: "This machine's proxy as port 3128 of the guest, also after it was restarted",
    },
    {
      command: "vsockbox forward 3 -L 0:localhost:80 --json",
      explanation: "On a port that the kernel chooses; the ready line shows it",
    },
  ],
  ask: askForTarget,
  async run(args) {
    const interrupt = new AbortController();
    const target = agentTarget(args, args.target, interrupt.signal);
    const locals = args.local.map((text) => parseForward(text, "-L"));
    const remotes = args.remote.map((text) => parseForward(text, "-R"));
    if (locals.length + remotes.length === 0) {
      throw commandLineError(
        "forward",
        "there is nothing to forward",
        "name at least one port: -L 8080:localhost:80",
      );
    }
    const shown = shownTarget(target);
    const log = openLog({ threshold: args.quiet ? "warn" : "info" });
    const onReady = ({ direction, listening, to }: ReadyForward) => {
      if (args.json) {
        printJson({ direction, listening, target: shown, to: formatEndpoint(to) });
      } else {
        const [there, here] = direction === "local" ? ["", ` in ${shown}`] : [` in ${shown}`, ""];
        log.info(`forwarding ${listening}${there} to ${formatEndpoint(to)}${here}`);
      }
    };
    const events: ForwardEvents = {
      onError: (what, thrown) => log.warn(`${what}: ${reasonOf(thrown).message}`),
      onReset: (what, reason) => log.info(`${what}: ${reason.message}`),
    };
    const ended = Promise.withResolvers<number>();
    let checkStatus: number | undefined;
    using _signals = onEndingSignal((signal) => {
      checkStatus ??= statusOfSignal(signal);
      interrupt.abort();
      ended.resolve(0);
    });
    if (!args.reconnect && !args.lazy) {
      try {
        await assertReachable(target);
      } catch (thrown) {
        if (checkStatus !== undefined) return checkStatus;
        throw thrown;
      }
    }
    const forwards = new LocalForwards(target, events);
    const back = new RemoteForwards(target, args.reconnect, { ...events, onReady });
    try {
      for (const spec of locals) forwards.open(spec, onReady);
      if (remotes.length > 0) back.run(remotes).catch(ended.reject);
      return await ended.promise;
    } finally {
      forwards.close();
      back.close();
    }
  },
});

/**
 * Connects once: a listener that leads nowhere would only be noticed with its first connection.
 *
 * @throws {VsockboxError} UNAVAILABLE, TIMEOUT, REFUSED, as `performHandshake`.
 */
async function assertReachable({ address, options }: AgentTarget): Promise<void> {
  try {
    const { connection } = await performHandshake(address, options);
    await connection.stream.close();
  } catch (thrown) {
    // An old agent forwards TCP ports all the same.
    if (!mayUseGoFrames(thrown, options)) throw thrown;
  }
}
