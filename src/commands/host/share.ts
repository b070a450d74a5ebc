/** `vsockbox share`: one command on the host that mounts a directory of it in a running guest. */
import { mountInGuest } from "../../agent/client/mounted-directory.ts";
import { closeDescriptor } from "../../ffi/socket.ts";
import { openSocketPair } from "../../ffi/socket-pair.ts";
import { showPath } from "../../files/bytes-path.ts";
import { adoptDescriptor } from "../../io/adopt-descriptor.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { type ArgumentValues, flag, list, operand, option } from "../../ui/argument.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { print, printJson } from "../../ui/report.ts";
import { choice, DIRECTORY, word } from "../../ui/value-kind.ts";
import { CACHE_MODES } from "../../vfs/mount/cache-policy.ts";
import { ExportedDirectory } from "../../vfs/server/exported-directory.ts";
import { FileServer } from "../../vfs/server/file-server.ts";
import { HiddenNames } from "../../vfs/server/hidden-names.ts";
import { OwnerMap } from "../../vfs/server/owner-map.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { AgentClients } from "../shared/operands.ts";
import { agentArguments, remoteOperand } from "../shared/target.ts";
import { checkPattern } from "./export-run.ts";

const ARGUMENTS = {
  directory: operand(DIRECTORY, { valueName: "DIR", summary: "The directory of the host" }),
  place: operand(word("TARGET:PATH"), {
    valueName: "TARGET:PATH",
    summary:
      "A guest with an agent, and where to mount in it; the directory is made if it is missing",
  }),
  readOnly: flag({ summary: "Allow no changes by the guest" }),
  hide: list(word("PATTERN"), {
    summary: "Hide files and directories with such a name, at every depth",
  }),
  cache: option(choice(CACHE_MODES), {
    default: "auto",
    summary: "What the guest keeps: see `vsockbox mount --help`",
  }),
  ...agentArguments,
  ...jsonArgument,
};

export const command = defineCommand({
  name: "share",
  group: "Files",
  summary: "Mount a directory of the host in a running guest",
  args: ARGUMENTS,
  examples: [
    {
      command: "vsockbox share . 3:/work",
      explanation: "The guest works on this directory itself, until Ctrl-C",
    },
    {
      command: "vsockbox share ~/project web:/srv/app --read-only --hide .env",
      explanation: "Without changes by the guest, and without secrets",
    },
  ],
  run: share,
});

async function share(args: ArgumentValues<typeof ARGUMENTS>): Promise<number> {
  const { target, path } = remoteOperand("share", new TextEncoder().encode(args.place));
  const ended = Promise.withResolvers<undefined>();
  const interrupt = new AbortController();
  let statusBefore: number | undefined;
  using _signals = onEndingSignal((signal) => {
    statusBefore = statusOfSignal(signal);
    ended.resolve(undefined);
    interrupt.abort();
  });
  const files = ExportedDirectory.open(args.directory, {
    isReadOnly: args.readOnly,
    hasXattr: false,
    hidden: new HiddenNames(args.hide.map(checkPattern)),
    owners: new OwnerMap({ users: [], groups: [], squash: undefined }),
  });
  const server = new FileServer({ exports: new Map([["share", files]]) });
  try {
    await using clients = new AgentClients(args, interrupt.signal);
    const client = await clients.get(target);
    const request = { path, readOnly: args.readOnly, cache: args.cache };
    const [served, joined] = await streamPair();
    server.accept(served, target);
    const mounting = mountInGuest(client, request, joined);
    const mounted = await Promise.race([mounting, ended.promise]);
    if (mounted === undefined) {
      void mounting.catch(() => undefined);
      joined.abort();
      return statusBefore ?? 0;
    }
    const shown = `${target}:${showPath(path)}`;
    if (args.json)
      printJson({ mounted: shown, directory: args.directory, read_only: args.readOnly });
    else print(`mounted ${args.directory} on ${shown}${args.readOnly ? ", read-only" : ""}`);
    const reason = await Promise.race([mounted.ended, ended.promise]);
    joined.abort();
    if (reason !== undefined) throw reason;
    return 0;
  } catch (thrown) {
    if (statusBefore !== undefined) return statusBefore;
    throw thrown;
  } finally {
    await server.close();
  }
}

/** Two connected streams: the server at one end, the channel at the other. */
async function streamPair() {
  const [first, second] = openSocketPair();
  try {
    return [await adoptDescriptor(first), await adoptDescriptor(second)] as const;
  } catch (thrown) {
    closeDescriptor(second);
    throw thrown;
  }
}
