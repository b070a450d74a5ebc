/** `vsockbox agent`: the service in the guest. */
import { createConsola } from "consola/basic";
import { EXEC_PORT, READY_PORT } from "../agent/ports.ts";
import { DEFAULT_MAX_SESSIONS, startAgent } from "../agent/server.ts";
import { resolveAddress } from "../config/profiles.ts";
import { formatAddress } from "../net/address.ts";
import { HOST_ONLY } from "../net/allow-cid.ts";
import { onEndingSignal, type EndingSignal } from "../process/signals.ts";
import { DEFAULT_MAX_FRAME_BYTES } from "../protocols/agent/frame.ts";
import { parseInteger } from "../ui/arguments.ts";
import type { Arguments, Command } from "../ui/command.ts";
import { allowArguments, allowedCids } from "./common.ts";

export const command: Command = {
  name: "agent",
  description: "Serve the host from inside a guest: run commands, say when ready",
  args: {
    listen: {
      type: "string",
      valueHint: "ADDRESS",
      default: `vsock::${EXEC_PORT}`,
      description: "Where commands are taken",
    },
    "ready-listen": {
      type: "string",
      valueHint: "ADDRESS",
      description: `Where a connection means ready, or \`none\` (default vsock::${READY_PORT}, none for a unix: --listen)`,
    },
    ...allowArguments,
    "max-frame": {
      type: "string",
      valueHint: "BYTES",
      description: `Largest frame that is accepted (default ${DEFAULT_MAX_FRAME_BYTES})`,
    },
    "max-sessions": {
      type: "string",
      valueHint: "COUNT",
      description: `Connections served at once (default ${DEFAULT_MAX_SESSIONS})`,
    },
    quiet: { type: "boolean", alias: "q", description: "Log nothing but errors" },
  },
  examples: [
    {
      command: "vsockbox agent",
      explanation: "In a guest: ports 5000 and 5002, for the host (CID 2) alone",
    },
    {
      command: "vsockbox agent --allow-cid 2,16",
      explanation: "Also for the sibling VM with CID 16",
    },
    {
      command: "vsockbox agent --listen unix:/run/agent.sock --ready-listen unix:/run/ready.sock",
      explanation: "Without vsock, in a container or for a trial",
    },
  ],
  async run(args) {
    const ended = Promise.withResolvers<EndingSignal>();
    using _signals = onEndingSignal(ended.resolve);
    const log = createConsola({
      level: args.flag("quiet") ? 0 : 3,
      stdout: process.stderr,
      stderr: process.stderr,
    }).withTag("agent");
    const listen = resolveAddress(args.required("listen"), EXEC_PORT);
    const agent = startAgent({
      listen,
      readyListen: readyAddress(args, listen.kind === "unix"),
      allowed: allowedCids(args, HOST_ONLY),
      maxFrameBytes: integer(args, "max-frame", 0xffff_ffff),
      maxSessions: integer(args, "max-sessions", 1_000_000),
      log,
    });
    const ready = agent.readyListening;
    log.info(
      `listening on ${formatAddress(agent.listening)}${ready === undefined ? "" : `, ready on ${formatAddress(ready)}`}`,
    );
    const signal = await ended.promise;
    log.info(`${signal}: ending ${agent.sessions} sessions`);
    await agent.stop(0);
    return 0;
  },
};

function readyAddress(args: Arguments, withoutPorts: boolean) {
  const given = args.string("ready-listen");
  if (given === "none" || (given === undefined && withoutPorts)) return undefined;
  return resolveAddress(given ?? `vsock::${READY_PORT}`, READY_PORT);
}

function integer(args: Arguments, name: string, max: number): number | undefined {
  const text = args.string(name);
  return text === undefined ? undefined : parseInteger(text, name, 1, max);
}
