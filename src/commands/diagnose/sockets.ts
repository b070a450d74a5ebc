/** `vsockbox sockets`: the AF_VSOCK sockets of this machine, with their processes. */
import { enterNetworkNamespace } from "../../ffi/network-namespace.ts";
import { vsockSockets } from "../../net/vsock-sockets.ts";
import { processesOfSockets } from "../../process/socket-processes.ts";
import { parsePasswd, systemUsers } from "../../process/users.ts";
import { VSOCK_STATES } from "../../protocols/netlink/vsock-diag.ts";
import { countOf } from "../../text/count.ts";
import { flag, list, option } from "../../ui/argument.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { print, printJson, say } from "../../ui/report.ts";
import { choice, FILE } from "../../ui/value-kind.ts";
import { CID, PORT } from "../shared/address-kind.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import {
  compareSockets,
  type ListedSocket,
  matchesFilter,
  type SocketFilter,
  socketJson,
  socketLines,
} from "./socket-list.ts";

export const command = defineCommand({
  name: "sockets",
  group: "Diagnostics",
  summary: "List this machine's vsock sockets with their processes",
  args: {
    listening: flag({ summary: "List only sockets that accept connections" }),
    state: list(choice(VSOCK_STATES), { valueName: "STATE", summary: stateSummary() }),
    cid: option(CID, {
      summary: "List only sockets with this CID at either end",
    }),
    port: option(PORT, {
      summary: "List only sockets with this port at either end",
    }),
    netNamespace: option(FILE, {
      defaultText: "your own",
      summary: "List the sockets of this network namespace, such as /proc/4711/ns/net",
    }),
    ...jsonArgument,
  },
  conflicts: { listening: ["state"] },
  examples: [
    { command: "vsockbox sockets", explanation: "All of them, as `ss --vsock --all -p` does" },
    {
      command: "vsockbox sockets --port 5000",
      explanation: "Who listens on port 5000, and for whom",
    },
    {
      command: "vsockbox sockets --state established --cid 3 --json",
      explanation: "Connections of the VM with CID 3, for programs",
    },
  ],
  run(args) {
    const { cid, port } = args;
    if (args.netNamespace !== undefined) enterNetworkNamespace(args.netNamespace);
    const states = args.listening ? ["listening"] : args.state;
    const { sockets, hiddenProcesses } = collect({ states, cid, port });
    if (args.json) for (const socket of sockets) printJson(socketJson(socket));
    else for (const line of socketLines(sockets, userNames())) print(line);
    const hasUnknown = sockets.some(({ processes }) => processes.length === 0);
    if (hasUnknown && hiddenProcesses > 0) {
      say(
        `vsockbox: the sockets of ${countOf(hiddenProcesses, "process", "processes")} are hidden`,
      );
      say("  hint: run it as root to see processes of all users");
    }
    return Promise.resolve(0);
  },
});

function stateSummary(): string {
  return `List only sockets in this state: ${VSOCK_STATES.join(", ")}`;
}

function collect(filter: SocketFilter): { sockets: ListedSocket[]; hiddenProcesses: number } {
  const found = vsockSockets()
    .filter((socket) => matchesFilter(socket, filter))
    .sort(compareSockets);
  const owners = processesOfSockets(new Set(found.map(({ inode }) => inode)));
  const sockets = found.map((socket) => {
    const { uid, processes = [] } = owners.sockets.get(socket.inode) ?? {};
    return Object.assign(socket, { uid, processes });
  });
  return { sockets, hiddenProcesses: owners.hiddenProcesses };
}

function userNames(): (uid: number) => string | undefined {
  const entries = parsePasswd(systemUsers().passwd);
  return (uid) => entries.find((entry) => entry.uid === uid)?.name;
}
