/** `vsockbox agent`: the service in the guest. */
import { EXEC_PORT, READY_PORT } from "../../agent/ports.ts";
import {
  DEFAULT_HANDSHAKE_TIMEOUT_MS,
  DEFAULT_MAX_OUTPUT_BYTES,
  DEFAULT_MAX_SESSIONS,
} from "../../agent/server/agent-server.ts";
import { DEFAULT_MAX_FRAME_BYTES } from "../../protocols/agent/frame.ts";
import type { Command } from "../../ui/command.ts";
import { runAgent } from "./agent-run.ts";
import { allowArguments } from "../shared/connect-options.ts";
import { runService } from "../shared/service.ts";
import { SANDBOX_WORDS } from "../../process/sandbox/sandbox.ts";

export const command: Command = {
  name: "agent",
  description: "Serve the host from inside a guest: commands, terminals, files, forwards",
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
    "token-file": {
      type: "string",
      valueHint: "FILE",
      description: "A secret that every host must know as well; older clients are refused",
    },
    "refuse-clear-token": {
      type: "boolean",
      description: "Refuse clients of vsockbox 0.1, which send the token in clear",
    },
    sandbox: {
      type: "string",
      valueHint: "LIST",
      description: `Confine every command: ${SANDBOX_WORDS}`,
    },
    "max-sessions": {
      type: "string",
      valueHint: "COUNT",
      description: `Connections served, and detached commands run, at once (default ${DEFAULT_MAX_SESSIONS})`,
    },
    "max-frame": {
      type: "string",
      valueHint: "BYTES",
      description: `Largest frame that is accepted (default ${DEFAULT_MAX_FRAME_BYTES})`,
    },
    "max-output": {
      type: "string",
      valueHint: "BYTES",
      description: `Output that is kept for one detached command, or collected for one Exec (default ${DEFAULT_MAX_OUTPUT_BYTES})`,
    },
    "max-memory": {
      type: "string",
      valueHint: "BYTES",
      description:
        "What the buffers of all sessions and detached commands may hold together (default: an eighth of the memory)",
    },
    "handshake-timeout": {
      type: "string",
      valueHint: "TIME",
      description: `End a connection whose session has not begun after this long (default ${DEFAULT_HANDSHAKE_TIMEOUT_MS / 1000}s)`,
    },
    "idle-timeout": {
      type: "string",
      valueHint: "TIME",
      description: "End a connection over which nothing goes for this long (default: never)",
    },
    grace: {
      type: "string",
      valueHint: "TIME",
      default: "0",
      description: "At SIGTERM, let sessions finish for this long before they are ended",
    },
    daemon: { type: "boolean", description: "Go into the background once it listens" },
    "pid-file": { type: "string", valueHint: "FILE", description: "Where its process id is kept" },
    "log-file": {
      type: "string",
      valueHint: "FILE",
      description: "Log there instead of standard error",
    },
    init: {
      type: "boolean",
      description: "Be the guest's init: mount what is missing, reap orphans, end the machine",
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
      command: "vsockbox agent --sandbox all --idle-timeout 1h --daemon --log-file /var/log/agent",
      explanation: "For untrusted commands, in the background",
    },
    {
      command: "vsockbox agent --listen unix:/run/agent.sock --ready-listen unix:/run/ready.sock",
      explanation: "Without vsock, in a container or for a trial",
    },
    {
      command: "init=/usr/bin/vsockbox -- agent --init",
      explanation: "On the guest's kernel command line: no other init is needed",
    },
  ],
  run: (args) => runService("agent", args, () => runAgent(args)),
};
