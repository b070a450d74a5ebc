/** `vsockbox bench serve`: the end with which `vsockbox bench run` measures. */
import { BENCH_PORT } from "../../bench/plan.ts";
import { BenchService, servedJson, servedLine } from "../../bench/serve.ts";
import { ANY, formatAddress, withDefaultPort } from "../../net/address.ts";
import { RefusalLog } from "../../net/refusal-log.ts";
import { openLog } from "../../process/service/log.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { flag, operand, option } from "../../ui/argument.ts";
import { printJson } from "../../ui/report.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { durationOfAtLeast, integer } from "../../ui/value-kind.ts";
import { ADDRESS } from "../shared/address-kind.ts";
import { allowArguments, allowedCids, LIMITS_GROUP } from "../shared/connect-options.ts";

const DEFAULT_MAX_DURATION_MS = 60_000;
const MOST_CLIENTS = 64;

export const command = defineCommand({
  name: "bench serve",
  group: "Diagnostics",
  summary: "Serve the measurements of bench run",
  args: {
    address: operand(ADDRESS, {
      optional: true,
      defaultText: `vsock::${BENCH_PORT}`,
      summary: "Where to listen",
    }),
    once: flag({ summary: "Exit after the first client has finished a test" }),
    quiet: flag({ short: "q", summary: "Print nothing but warnings" }),
    json: flag({ summary: "Also print an object of JSON for the address, and for each test" }),
    maxClients: option(integer(1, MOST_CLIENTS), {
      heading: LIMITS_GROUP,
      default: 1,
      summary: "Tests at once; others are refused, since each slows the others down",
    }),
    maxDuration: option(durationOfAtLeast(1), {
      heading: LIMITS_GROUP,
      default: DEFAULT_MAX_DURATION_MS,
      summary: "Longest test",
    }),
    ...allowArguments,
  },
  examples: [
    { command: "vsockbox bench serve", explanation: `In a guest, on vsock port ${BENCH_PORT}` },
    {
      command: "vsockbox bench serve unix:$XDG_RUNTIME_DIR/bench.sock --max-duration 10m",
      explanation: "On a Unix socket, for long tests",
    },
    {
      command: "vsockbox bench serve hybrid:/run/vm4.vsock:5201",
      explanation: "On the host, for a guest that connects to port 5201 of CID 2",
    },
  ],
  async run(args) {
    const log = openLog({ threshold: args.quiet ? "warn" : "info" });
    const refusals = new RefusalLog(log.warn);
    const written =
      args.address?.address ?? ({ kind: "vsock", cid: ANY, port: undefined } as const);
    let status = 0;
    const service = new BenchService(withDefaultPort(written, BENCH_PORT), {
      allowed: allowedCids(args, "any"),
      maxClients: args.maxClients,
      maxDurationMs: args.maxDuration,
      onServed(served) {
        log.info(servedLine(served));
        if (args.json) printJson(servedJson(served));
        if (args.once && served.result !== undefined) service.stop();
      },
      onRefusal: (peer) => refusals.note(peer, "not in --allow-cid"),
      warn: (message) => log.warn(message),
    });
    using _signals = onEndingSignal((signal) => {
      status = statusOfSignal(signal);
      service.stop();
    });
    const listening = formatAddress(service.address);
    log.info(`listening on ${listening}`);
    if (args.json) printJson({ event: "listening", address: listening });
    await service.run();
    return status;
  },
});
