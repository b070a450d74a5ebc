/** `vsockbox bridge`: a hybrid-vsock Unix socket for AF_VSOCK of the kernel, and the other way round. */
import { parsePorts } from "../../device/config/device-config.ts";
import { VsockboxError } from "../../errors.ts";
import {
  checkTarget,
  DEFAULT_LINE_TIMEOUT_MS,
  DEFAULT_MAX_CONNECTIONS,
  DEFAULT_MAX_PENDING,
  HybridBridge,
} from "../../bridge/bridge.ts";
import { ANY, formatAddress, type SocketAddress } from "../../net/address.ts";
import { onEndingSignal } from "../../process/signals.ts";
import { openLog } from "../../process/service/log.ts";
import { printJson } from "../../ui/report.ts";
import {
  allowArguments,
  allowedCids,
  jsonArgument,
  socketOwnerArgument,
  socketOwners,
  LIMITS_GROUP,
} from "../shared/connect-options.ts";
import { ADDRESS } from "../shared/address-kind.ts";
import { flag, option, list, type ArgumentValues } from "../../ui/argument.ts";
import { word, DURATION, integer } from "../../ui/value-kind.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { usageError } from "../../ui/usage-error.ts";

const ARGUMENTS = {
  udsPath: option(word("PATH"), {
    summary: "Unix socket to create: CONNECT PORT on it leads to that port of --to",
  }),
  to: option(ADDRESS, {
    summary: "Target of --uds-path: vsock:CID, hybrid:PATH, or unix:PREFIX for PREFIX_PORT",
  }),
  forwardListen: option(word("PORT+PORT"), {
    summary:
      "With --to vsock:CID: vsock ports of the host to listen on; that CID's connections to them lead to the Unix sockets PATH_PORT",
  }),
  listen: list(ADDRESS, {
    summary: "The other direction: listen here, and connect to --hybrid",
  }),
  hybrid: option(word("PATH"), { summary: "The Unix socket of a VMM or of hybrid-proxy" }),
  port: option(integer(0, ANY - 1, "PORT"), {
    defaultText: "that of --listen",
    summary: "The guest's port to connect to through --hybrid",
  }),
  maxConnections: option(integer(1, 1_000_000), {
    heading: LIMITS_GROUP,
    default: DEFAULT_MAX_CONNECTIONS,
    summary: "Connections at once",
  }),
  maxPending: option(integer(1, 1_000_000), {
    heading: LIMITS_GROUP,
    default: DEFAULT_MAX_PENDING,
    summary: "Clients without a CONNECT line at once; one more closes the oldest",
  }),
  lineTimeout: option(DURATION, {
    heading: LIMITS_GROUP,
    default: DEFAULT_LINE_TIMEOUT_MS,
    summary: "Close a client that has not sent a CONNECT line after this long",
  }),
  quiet: flag({ short: "q", summary: "Print no messages about connections" }),
  ...socketOwnerArgument,
  ...allowArguments,
  ...jsonArgument,
};

type Values = ArgumentValues<typeof ARGUMENTS>;

export const command = defineCommand({
  name: "bridge",
  group: "Ports and bytes",
  summary: "Join Firecracker-style Unix sockets and vsock",
  args: ARGUMENTS,
  conflicts: {
    udsPath: ["listen", "hybrid", "port"],
    to: ["listen", "hybrid", "port"],
    forwardListen: ["listen", "hybrid", "port"],
    maxPending: ["listen", "hybrid", "port"],
    lineTimeout: ["listen", "hybrid", "port"],
  },
  examples: [
    {
      command: "vsockbox bridge --uds-path /run/vm3.vsock --to vsock:3",
      explanation: "A program written for Firecracker reaches a VM of QEMU with vhost-vsock-pci",
    },
    {
      command: "vsockbox bridge --uds-path /run/vm3.vsock --to vsock:3 --forward-listen 9000+9001",
      explanation: "Also the guest's connections to host ports 9000 and 9001: /run/vm3.vsock_9000",
    },
    {
      command: "vsockbox bridge --listen vsock::5000 --hybrid /run/vm4.vsock",
      explanation: "Port 5000 of this machine's vsock is port 5000 of a Firecracker VM",
    },
    {
      command: "vsockbox bridge --listen unix:/run/db.sock --hybrid /run/vm4.vsock --port 5432",
      explanation: "A plain Unix socket for one port of the guest",
    },
  ],
  async run(args) {
    const routes = routesOf(args);
    const log = openLog({ threshold: args.quiet ? "silent" : "info" });
    const bridge = new HybridBridge({
      maxConnections: args.maxConnections,
      maxPending: args.maxPending,
      socketOwners: socketOwners(args, args.to?.text),
      lineTimeoutMs: args.lineTimeout,
      onError: (what, error) => log.warn(`${what}: ${error.message}`),
    });
    const ended = Promise.withResolvers<number>();
    using _signals = onEndingSignal(() => ended.resolve(0));
    try {
      for (const route of routes) {
        const listening = formatAddress(route.open(bridge));
        if (args.json) printJson({ listening, to: route.to });
        else log.info(`listening on ${listening} for ${route.to}`);
      }
      return await ended.promise;
    } finally {
      bridge.close();
    }
  },
});

/** One listener that is to be opened. */
interface Route {
  to: string;
  /** Returns the listening address. */
  open(bridge: HybridBridge): SocketAddress;
}

const USAGE_HINT = "write --uds-path PATH --to ADDRESS, or --listen ADDRESS --hybrid PATH";

function usage(message: string): VsockboxError {
  return usageError(command, message, USAGE_HINT);
}

function routesOf(args: Values): Route[] {
  const isFromForm = args.listen.length > 0 || args.hybrid !== undefined || args.port !== undefined;
  return isFromForm ? routesToHybrid(args) : routesToVsock(args);
}

function routesToVsock(args: Values): Route[] {
  const { udsPath, to } = args;
  if (udsPath === undefined) throw usage("--uds-path is missing");
  if (to === undefined) throw usage("--to is missing");
  const target = to.address;
  checkTarget(target);
  const ports = args.forwardListen;
  const main: Route = {
    to: formatAddress(target),
    open: (bridge) => bridge.serveHybrid(udsPath, target),
  };
  if (ports === undefined) return [main];
  if (target.kind !== "vsock") throw usage("--forward-listen requires a CID in --to");
  const allowed = allowedCids(args, new Set([target.cid]));
  const back = parsePorts(ports, "forward-listen").map((port): Route => {
    const client: SocketAddress = { kind: "unix", path: `${udsPath}_${port}` };
    const address: SocketAddress = { kind: "vsock", cid: ANY, port };
    return {
      to: formatAddress(client),
      open: (bridge) => bridge.serveForward(address, client, allowed),
    };
  });
  return [main, ...back];
}

function routesToHybrid(args: Values): Route[] {
  const path = args.hybrid;
  if (path === undefined) throw usage("--hybrid is missing");
  if (args.listen.length === 0) throw usage("--listen is missing");
  const allowed = allowedCids(args, "any");
  return args.listen.map(({ address }): Route => {
    const port = args.port ?? (address.kind === "unix" ? undefined : address.port);
    if (port === undefined || port === ANY) throw usage("--port is missing");
    const target: SocketAddress = { kind: "hybrid", path, port };
    return {
      to: formatAddress(target),
      open: (bridge) => bridge.serveForward(address, target, allowed),
    };
  });
}
