/** `vsockbox shell-server`: the server of vsock-shell. */
import { resolveAddress } from "../../config/profiles.ts";
import { VsockboxError } from "../../errors.ts";
import { PathRoot } from "../../files/path-root.ts";
import { formatAddress, type SocketAddress } from "../../net/address.ts";
import { HOST_ONLY } from "../../net/allow-cid.ts";
import { reportReady } from "../../process/service/daemon.ts";
import { openLog } from "../../process/service/log.ts";
import { guardGroups } from "../../process/group-guard.ts";
import { notifyReady, notifyStopping, takeNotifySocket } from "../../process/service/notify.ts";
import {
  type EndingSignal,
  onEndingSignal,
  SERVICE_ENDING_SIGNALS,
} from "../../process/signals.ts";
import { parseInteger } from "../../text/quantities.ts";
import type { Arguments, Command } from "../../ui/command.ts";
import { SHELL_PORT } from "../../vsock-shell/ports.ts";
import {
  DEFAULT_MAX_SESSIONS,
  type ShellServer,
  startShellServer,
} from "../../vsock-shell/server.ts";
import { allowArguments, allowedCids } from "../shared/connect-options.ts";
import { pidFileOf, runService } from "../shared/service.ts";
import { portArgument, portOption } from "../shared/shell-port.ts";
import { durationOption } from "../shared/target.ts";

export const command: Command = {
  name: "shell-server",
  description: "Serve shells and files to vsock-shell clients, like vsock-shell-server",
  args: {
    ...portArgument,
    listen: {
      type: "string",
      valueHint: "ADDRESS",
      description: "Where to listen (default vsock::PORT)",
    },
    ...allowArguments,
    root: {
      type: "string",
      valueHint: "DIR",
      description: "Transfers and sessions begin there, and no transfer leads out of it",
    },
    "files-only": { type: "boolean", description: "Files, but no shell and no command" },
    shell: {
      type: "string",
      valueHint: "FILE",
      description: "The shell (default: the first of /bin/bash, $SHELL and /bin/sh that is there)",
    },
    "max-sessions": {
      type: "string",
      valueHint: "COUNT",
      description: `Connections served at once (default ${DEFAULT_MAX_SESSIONS})`,
    },
    "idle-timeout": {
      type: "string",
      valueHint: "TIME",
      description: "End a connection over which nothing goes for this long (default: never)",
    },
    daemon: {
      type: "boolean",
      alias: "d",
      description: "Go into the background once it listens",
    },
    "pid-file": { type: "string", valueHint: "FILE", description: "Where its process id is kept" },
    "log-file": {
      type: "string",
      valueHint: "FILE",
      description: "Log there instead of standard error",
    },
    verbose: { type: "boolean", alias: "v", description: "Log every connection" },
  },
  examples: [
    {
      command: "vsockbox shell-server",
      explanation: "In a guest: port 5000, for the host (CID 2) alone",
    },
    {
      command: "vsock-shell-server -d -p 9999 --allow-cid any",
      explanation: "Under the C program's name and on its port, for everybody, in the background",
    },
    {
      command: "vsockbox shell-server --files-only --root /srv/drop",
      explanation: "Uploads and downloads in one directory, and nothing else",
    },
    {
      command: "vsockbox shell-server --listen unix:/run/shell.sock -v",
      explanation: "Without vsock, in a container or for a trial",
    },
  ],
  run: (args) => runService("shell-server", args, () => serve(args)),
};

async function serve(args: Arguments): Promise<number> {
  takeNotifySocket();
  const log = openLog({
    tag: "shell-server",
    path: args.string("log-file"),
    threshold: args.flag("verbose") ? "debug" : "info",
  });
  const ended = Promise.withResolvers<EndingSignal>();
  using _signals = onEndingSignal((signal) => ended.resolve(signal), SERVICE_ENDING_SIGNALS);
  guardGroups((message) => log.warn(message));
  const maxSessions = args.string("max-sessions");
  const server = start(listenAddress(args), (listen) =>
    startShellServer({
      listen,
      allowed: allowedCids(args, HOST_ONLY),
      root: new PathRoot(args.string("root")),
      directory: args.string("root"),
      filesOnly: args.flag("files-only"),
      shell: args.string("shell"),
      maxSessions:
        maxSessions === undefined
          ? undefined
          : parseInteger(maxSessions, "max-sessions", 1, 1_000_000),
      idleTimeoutMs: durationOption(args, "idle-timeout"),
      log,
    }),
  );
  using _pidFile = await pidFileOf(args, () => server.stop());
  const where = `listening on ${formatAddress(server.listening)}`;
  log.info(where);
  const problem = notifyReady(where);
  if (problem !== undefined) log.warn(problem.message);
  reportReady();
  const signal = await ended.promise;
  notifyStopping();
  log.info(`${signal}: ending ${server.sessions} sessions`);
  await server.stop();
  return 0;
}

function listenAddress(args: Arguments): SocketAddress {
  const given = args.string("listen");
  const port = portOption(args);
  return resolveAddress(given ?? `vsock::${port ?? SHELL_PORT}`, port ?? SHELL_PORT);
}

/** The agent of vsockbox has the same port by default. */
function start(listen: SocketAddress, begin: (listen: SocketAddress) => ShellServer): ShellServer {
  try {
    return begin(listen);
  } catch (thrown) {
    const isTaken = thrown instanceof VsockboxError && thrown.errno === "EADDRINUSE";
    if (!isTaken || listen.kind !== "vsock" || listen.port !== SHELL_PORT) throw thrown;
    throw new VsockboxError({
      code: thrown.code,
      operation: "listen on",
      address: formatAddress(listen),
      message: "the port is taken",
      errno: "EADDRINUSE",
      hint: `\`vsockbox agent\` listens on ${SHELL_PORT}, too: take another port with --port`,
      cause: thrown,
    });
  }
}
