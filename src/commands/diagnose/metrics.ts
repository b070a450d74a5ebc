/** `vsockbox metrics`: metrics of guests and their agents for Prometheus, once or over HTTP. */
import { parseHttpAddress } from "../../net/http.ts";
import { METRICS_PATH, serveMetrics } from "../../net/metrics-server.ts";
import { onEndingSignal } from "../../process/signals.ts";
import { reportReady } from "../../process/service/daemon.ts";
import { openLog } from "../../process/service/log.ts";
import { notifyReady, notifyStopping, takeNotifySocket } from "../../process/service/notify.ts";
import { formatEndpoint, type Endpoint } from "../../text/endpoint.ts";
import { operands, option, type ArgumentValues } from "../../ui/argument.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { writeAll } from "../../ui/report.ts";
import { usageError } from "../../ui/usage-error.ts";
import { DURATION, word } from "../../ui/value-kind.ts";
import { ADDRESS } from "../shared/address-kind.ts";
import { pidFileOf, runService, serviceArguments } from "../shared/service.ts";
import { agentArguments, agentTarget, type AgentTarget } from "../shared/target.ts";
import { TargetScraper } from "./metrics-scrape.ts";

/** Default limit of one scrape, in milliseconds: half of Prometheus' own (scrape_timeout). */
const DEFAULT_SCRAPE_TIMEOUT_MS = 5000;

const ARGUMENTS = {
  targets: operands(ADDRESS, {
    valueName: "TARGET...",
    summary: "The agents' addresses, or names of profiles",
  }),
  listen: option(word("ADDRESS"), {
    summary: "Serve /metrics over HTTP on 127.0.0.1:9465, :9465 or unix:PATH",
  }),
  timeout: option(DURATION, {
    default: DEFAULT_SCRAPE_TIMEOUT_MS,
    summary: "Report an agent as down that has not answered for this long",
  }),
  ...agentArguments,
  ...serviceArguments,
};

type Values = ArgumentValues<typeof ARGUMENTS>;

export const command = defineCommand({
  name: "metrics",
  group: "Diagnostics",
  summary: "Print or serve metrics of guests for Prometheus",
  args: ARGUMENTS,
  requires: { daemon: ["listen"], pidFile: ["listen"], logFile: ["listen"] },
  examples: [
    { command: "vsockbox metrics 3", explanation: "Once, in Prometheus' text format" },
    {
      command: "vsockbox metrics --listen 127.0.0.1:9465 3 4 hybrid:/run/vm5.vsock",
      explanation: "For Prometheus on this host: each request for /metrics asks all guests",
    },
    {
      command:
        "vsockbox metrics --listen unix:$XDG_RUNTIME_DIR/metrics.sock --timeout 2s web db --daemon",
      explanation: "Guests of profiles, in the background, for a local proxy",
    },
  ],
  run(args) {
    const { listen } = args;
    if (listen === undefined) return printOnce(args);
    const endpoint = parseHttpAddress(listen, "listen");
    return runService("metrics", args, () => serve(endpoint, args));
  },
});

/** @throws {VsockboxError} USAGE for a target that is named twice: its samples would be too. */
function targetsOf(args: Values): AgentTarget[] {
  const targets = args.targets.map((written) => agentTarget(args, written));
  const seen = new Set<string>();
  for (const { name } of targets) {
    if (seen.has(name)) throw usageError(command, `${name} is named twice`);
    seen.add(name);
  }
  return targets;
}

async function printOnce(args: Values): Promise<number> {
  const log = openLog();
  const scraper = new TargetScraper(targetsOf(args), args.timeout, log.warn);
  writeAll(1, new TextEncoder().encode(await scraper.scrape()));
  return 0;
}

async function serve(endpoint: Endpoint, args: Values): Promise<number> {
  takeNotifySocket();
  const log = openLog({ tag: "metrics", path: args.logFile });
  const scraper = new TargetScraper(targetsOf(args), args.timeout, log.warn);
  const ended = Promise.withResolvers<number>();
  using _signals = onEndingSignal(() => ended.resolve(0));
  const server = serveMetrics(endpoint, () => scraper.scrape());
  using _server = { [Symbol.dispose]: () => server.close() };
  using _pidFile = await pidFileOf(args, () => Promise.resolve());
  const listening = `metrics are at ${METRICS_PATH} on ${formatEndpoint(server.endpoint)}`;
  log.info(listening);
  const problem = notifyReady(listening);
  if (problem !== undefined) log.warn(problem.message);
  reportReady();
  const status = await ended.promise;
  notifyStopping();
  return status;
}
