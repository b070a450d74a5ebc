/** `vsockbox bridge`: the hybrid-vsock Unix socket where the kernel carries vsock, and back. */
import { parsePorts } from "../../device/config/device-config.ts";
import { resolveAddress } from "../../config/profiles.ts";
import { VsockboxError } from "../../errors.ts";
import {
  checkTarget,
  DEFAULT_LINE_TIMEOUT_MS,
  DEFAULT_MAX_CONNECTIONS,
  DEFAULT_MAX_PENDING,
  HybridBridge,
} from "../../bridge/bridge.ts";
import { ANY, formatAddress, type SocketAddress } from "../../net/address.ts";
import { readU32 } from "../../text/quantities.ts";
import { onEndingSignal } from "../../process/signals.ts";
import { parseDuration, parseInteger } from "../../text/quantities.ts";
import type { Arguments, Command } from "../../ui/command.ts";
import { openLog } from "../../process/service/log.ts";
import { printJson } from "../../ui/report.ts";
import {
  allowArguments,
  allowedCids,
  jsonArgument,
  socketOwnerArgument,
  socketOwners,
} from "../shared/connect-options.ts";

export const command: Command = {
  name: "bridge",
  description: "Put a Firecracker-style Unix socket in front of vsock, or listeners before one",
  args: {
    "uds-path": {
      type: "string",
      valueHint: "PATH",
      description: "Unix socket to be made: CONNECT PORT on it leads to that port of --to",
    },
    to: {
      type: "string",
      valueHint: "ADDRESS",
      description: "Where --uds-path leads: vsock:CID, hybrid:PATH, or unix:PREFIX for PREFIX_PORT",
    },
    "forward-listen": {
      type: "string",
      valueHint: "PORT+PORT",
      description:
        "With --to vsock:CID: ports of the host on which that CID's connections are taken and led to the Unix sockets PATH_PORT",
    },
    listen: {
      type: "string",
      valueHint: "ADDRESS",
      repeatable: true,
      description: "The other way: listen here, connect to --hybrid. May be repeated",
    },
    hybrid: {
      type: "string",
      valueHint: "PATH",
      description: "The Unix socket of a VMM or of hybrid-proxy",
    },
    port: {
      type: "string",
      valueHint: "PORT",
      description: "The guest's port behind --hybrid (default: that of --listen)",
    },
    "max-connections": {
      type: "string",
      valueHint: "COUNT",
      description: `Connections that are carried at once (default ${DEFAULT_MAX_CONNECTIONS})`,
    },
    "max-pending": {
      type: "string",
      valueHint: "COUNT",
      description: `Clients that may be without a CONNECT line at once; the oldest is closed for one more (default ${DEFAULT_MAX_PENDING})`,
    },
    "line-timeout": {
      type: "string",
      valueHint: "TIME",
      description: `Close a client without a CONNECT line after this long (default ${DEFAULT_LINE_TIMEOUT_MS / 1000}s)`,
    },
    quiet: { type: "boolean", alias: "q", description: "Say nothing about connections" },
    ...socketOwnerArgument,
    ...allowArguments,
    ...jsonArgument,
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
    const count = (name: string) => {
      const text = args.string(name);
      return text === undefined ? undefined : parseInteger(text, name, 1, 1_000_000);
    };
    const lineTimeout = args.string("line-timeout");
    const log = openLog({ threshold: args.flag("quiet") ? "silent" : "info" });
    const bridge = new HybridBridge({
      maxConnections: count("max-connections"),
      maxPending: count("max-pending"),
      socketOwners: socketOwners(args, args.string("to")),
      lineTimeoutMs:
        lineTimeout === undefined ? undefined : parseDuration(lineTimeout, "line-timeout"),
      onError: (what, error) => log.warn(`${what}: ${error.message}`),
    });
    const ended = Promise.withResolvers<number>();
    using _signals = onEndingSignal(() => ended.resolve(0));
    try {
      for (const route of routes) {
        const listening = formatAddress(route.open(bridge));
        if (args.flag("json")) printJson({ listening, to: route.to });
        else log.info(`listening on ${listening} for ${route.to}`);
      }
      return await ended.promise;
    } finally {
      bridge.close();
    }
  },
};

/** One listener that is to be opened. */
interface Route {
  to: string;
  /** Gives the address on which it listens. */
  open(bridge: HybridBridge): SocketAddress;
}

function usage(message: string): VsockboxError {
  return new VsockboxError({
    code: "USAGE",
    operation: "bridge",
    message,
    hint: "write --uds-path PATH --to ADDRESS, or --listen ADDRESS --hybrid PATH",
  });
}

const TO_FORM = ["uds-path", "to", "forward-listen", "max-pending", "line-timeout"] as const;
const FROM_FORM = ["listen", "hybrid", "port"] as const;

function routesOf(args: Arguments): Route[] {
  const isGiven = (name: string) => args.string(name) !== undefined || args.list(name).length > 0;
  const to = TO_FORM.find(isGiven);
  const from = FROM_FORM.find(isGiven);
  if (to !== undefined && from !== undefined) {
    throw usage(`--${to} and --${from} exclude each other`);
  }
  return from === undefined ? routesToVsock(args) : routesToHybrid(args);
}

function need(args: Arguments, name: string): string {
  const value = args.string(name);
  if (value === undefined || value === "") throw usage(`--${name} is missing`);
  return value;
}

function routesToVsock(args: Arguments): Route[] {
  const udsPath = need(args, "uds-path");
  const target = resolveAddress(need(args, "to"));
  checkTarget(target);
  const ports = args.string("forward-listen");
  const main: Route = {
    to: formatAddress(target),
    open: (bridge) => bridge.serveHybrid(udsPath, target),
  };
  if (ports === undefined) return [main];
  if (target.kind !== "vsock") throw usage("--forward-listen needs a CID in --to");
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

function routesToHybrid(args: Arguments): Route[] {
  const path = need(args, "hybrid");
  const given = args.string("port");
  const listens = args.list("listen");
  if (listens.length === 0) throw usage("--listen is missing");
  const allowed = allowedCids(args, "any");
  return listens.map((text): Route => {
    const address = resolveAddress(text);
    const own = address.kind === "unix" ? undefined : address.port;
    const port = given === undefined ? own : readU32(given);
    if (port === undefined || port === ANY) {
      throw usage(given === undefined ? "--port is missing" : `--port ${given} is no port`);
    }
    const target: SocketAddress = { kind: "hybrid", path, port };
    return {
      to: formatAddress(target),
      open: (bridge) => bridge.serveForward(address, target, allowed),
    };
  });
}
