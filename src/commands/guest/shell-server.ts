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
import { SHELL_PORT } from "../../vsock-shell/ports.ts";
import {
  DEFAULT_MAX_SHELL_SESSIONS,
  type ShellServer,
  startShellServer,
} from "../../vsock-shell/server.ts";
import { allowArguments, allowedCids, LIMITS_GROUP } from "../shared/connect-options.ts";
import { pidFileOf, runService, serviceArguments } from "../shared/service.ts";
import { portArgument } from "../shared/shell-port.ts";
import { flag, option, type ArgumentValues } from "../../ui/argument.ts";
import { word, FILE, DIRECTORY, DURATION, integer } from "../../ui/value-kind.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { countOf } from "../../text/count.ts";

const ARGUMENTS = {
  ...portArgument,
  listen: option(word("ADDRESS"), {
    defaultText: "vsock::PORT",
    summary: "Listen here",
  }),
  ...allowArguments,
  root: option(DIRECTORY, {
    summary: "Begin transfers and sessions there, and refuse transfers that lead out of it",
  }),
  filesOnly: flag({ summary: "Serve files, but no shell and no command" }),
  shell: option(FILE, {
    defaultText: "the first of /bin/bash, $SHELL and /bin/sh that exists",
    summary: "Run this shell",
  }),
  verbose: flag({ short: "v", summary: "Log every connection" }),
  maxSessions: option(integer(1, 1_000_000), {
    heading: LIMITS_GROUP,
    default: DEFAULT_MAX_SHELL_SESSIONS,
    summary: "Connections at once",
  }),
  idleTimeout: option(DURATION, {
    heading: LIMITS_GROUP,
    defaultText: "never",
    summary: "Close a connection that is idle for this long",
  }),
  ...serviceArguments,
  daemon: { ...serviceArguments.daemon, short: "d" },
};

type Values = ArgumentValues<typeof ARGUMENTS>;

export const command = defineCommand({
  name: "shell-server",
  group: "Guest services",
  summary: "Serve shells and files to vsock-shell clients",
  args: ARGUMENTS,
  examples: [
    {
      command: "vsockbox shell-server",
      explanation: "In a guest: port 5000, for the host (CID 2) alone",
    },
    {
      command: "vsock-shell-server -d -p 9999 --allow-cid any",
      explanation: "Under the C program's name and on its port, for all CIDs, in the background",
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
});

async function serve(args: Values): Promise<number> {
  takeNotifySocket();
  const log = openLog({
    tag: "shell-server",
    path: args.logFile,
    threshold: args.verbose ? "debug" : "info",
  });
  const ended = Promise.withResolvers<EndingSignal>();
  using _signals = onEndingSignal((signal) => ended.resolve(signal), SERVICE_ENDING_SIGNALS);
  guardGroups((message) => log.warn(message));
  const server = start(listenAddress(args), (listen) =>
    startShellServer({
      listen,
      allowed: allowedCids(args, HOST_ONLY),
      root: new PathRoot(args.root),
      directory: args.root,
      filesOnly: args.filesOnly,
      shell: args.shell,
      maxSessions: args.maxSessions,
      idleTimeoutMs: args.idleTimeout || undefined,
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
  log.info(`${signal}: ending ${countOf(server.sessions, "session")}`);
  await server.stop();
  return 0;
}

function listenAddress(args: Values): SocketAddress {
  const port = args.port ?? SHELL_PORT;
  return resolveAddress(args.listen ?? `vsock::${port}`, port);
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
      message: "address already in use",
      errno: "EADDRINUSE",
      hint: `\`vsockbox agent\` listens on ${SHELL_PORT}, too: choose another port with --port`,
      cause: thrown,
    });
  }
}
