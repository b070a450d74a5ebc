/** `vsockbox ls`: lists directories of a guest. */
import { entryJson } from "../shared/json-shapes.ts";
import type { AgentClient } from "../../agent/client/agent-client.ts";
import { resolveHome } from "../../agent/client/home-path.ts";
import { mayUseGoFrames } from "../../agent/client/handshake.ts";
import { showPath } from "../../files/bytes-path.ts";
import { hasWildcard } from "../../files/glob.ts";
import { goFileKind, unixMode } from "../../protocols/agent/file-messages.ts";
import { type JsonObject, textField } from "../../protocols/agent/json-fields.ts";
import { encodePath } from "../../protocols/agent/paths.ts";
import { print, printJson, writeAll } from "../../ui/report.ts";
import { readAddress } from "../shared/address-kind.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import type { ExpandedPath } from "./expand-pattern.ts";
import { pathsArgument, type RemotePath, remotePaths } from "./file-command.ts";
import { longLine } from "./file-lines.ts";
import { AgentClients, forEachOperand } from "../shared/operands.ts";
import { agentArguments, agentTarget } from "../shared/target.ts";
import { flag, operands, type ArgumentValues } from "../../ui/argument.ts";
import { word } from "../../ui/value-kind.ts";
import { useDefaultTarget } from "../../config/default-target.ts";
import { defineCommand } from "../../ui/command-definition.ts";

/** Returns the working directory of the usual target, if there is one. */
function usualDirectory(): string | undefined {
  const target = useDefaultTarget();
  return target === undefined ? undefined : `${target}:`;
}

const ARGUMENTS = {
  paths: operands(word("PATH"), {
    valueName: "TARGET:PATH...",
    summary: pathsArgument.paths.summary,
    fallback: { accepts: () => false, word: usualDirectory },
  }),
  long: flag({ short: "l", summary: "Also print mode, owner, size and time" }),
  all: flag({ short: "a", summary: "Include names that begin with a dot" }),
  ...agentArguments,
  ...jsonArgument,
};

type Values = ArgumentValues<typeof ARGUMENTS>;

export const command = defineCommand({
  name: "ls",
  group: "Files",
  summary: "List directories in a guest",
  args: ARGUMENTS,
  examples: [
    { command: "vsockbox ls 3:/etc", explanation: "Names, one a line" },
    { command: "vsockbox ls -la web:/srv", explanation: "With mode, owner, size and time" },
    { command: "vsockbox ls -l '3:/dev/tty*'", explanation: "The guest expands the pattern" },
    { command: "vsockbox ls --json 3:/var/log", explanation: "A JSON object a file" },
  ],
  async run(args) {
    const paths = remotePaths("ls", args.paths);
    await using clients = new AgentClients(args);
    let isFirst = true;
    const begin = (shown: string, isTitled: boolean) => {
      if (isTitled && !args.json) {
        if (!isFirst) print("");
        print(`${shown}:`);
      }
      isFirst = false;
      return lister(args, shown);
    };
    const listOne = async (client: AgentClient, { path, shown, isTitled }: ListedPath) => {
      const show = begin(shown, isTitled);
      for await (const { name, facts } of client.list(path)) show(name, facts);
    };
    const list = async (operand: RemotePath) => {
      const { target, path, shown } = operand;
      const isTitled = paths.length > 1;
      let client: AgentClient;
      try {
        client = await clients.get(target);
      } catch (thrown) {
        const { address, options } = agentTarget(args, readAddress(target));
        const show = begin(shown, isTitled);
        if (!mayUseGoFrames(thrown, options)) throw thrown;
        const { listOldDirectory } = await import("../../agent/client/go-files.ts");
        const directory = await resolveHome(undefined, path);
        const files = await listOldDirectory(address, options, directory);
        for (const { name, size, mode, is_dir: isDirectory } of files) {
          const type = isDirectory ? "directory" : goFileKind(mode);
          const bytes = Buffer.from(name);
          show(bytes, { name: encodePath(bytes), type, size, mode: unixMode(mode) });
        }
        return 0;
      }
      if (!hasWildcard(path)) {
        const resolved = await resolveHome(client, path);
        await listOne(client, { path: resolved, shown, isTitled });
        return 0;
      }
      const { expandOperand } = await import("./expand-pattern.ts");
      const matches = await expandOperand(client, operand);
      const listed = await inOrder(client, matches, isTitled);
      return await forEachOperand(listed, (match) => listOne(client, match), { json: args.json });
    };
    return await forEachOperand(paths, list, { json: args.json });
  },
});

/** A path to be listed, and whether its name is printed above. */
type ListedPath = ExpandedPath & { isTitled: boolean };

/** The matches of a pattern as ls(1) lists them: first the files, then each directory with its name. */
async function inOrder(
  client: AgentClient,
  matches: readonly ExpandedPath[],
  isTitled: boolean,
): Promise<ListedPath[]> {
  const files: ListedPath[] = [];
  const directories: ListedPath[] = [];
  for (const match of matches) {
    const request = { op: "stat", path: match.path, follow: true } as const;
    // A link that leads nowhere is listed itself.
    const facts = await client.request(request).catch(() => undefined);
    const isDirectory = facts !== undefined && textField(facts, "type") === "directory";
    if (isDirectory) directories.push({ ...match, isTitled: isTitled || matches.length > 1 });
    else files.push({ ...match, isTitled: false });
  }
  return [...files, ...directories];
}

const LINE_FEED = Buffer.from("\n");

/** Prints the entries of the directory that was given as `shown`. */
function lister(args: Values, shown: string): (name: Uint8Array, entry: JsonObject) => void {
  // JSON is for programs: they get all there is.
  if (args.json) return (_, entry) => printJson(entryJson(entry, shown));
  // A script gets the bytes of a name, a terminal nothing that it obeys, as with ls(1).
  const isExact = !process.stdout.isTTY;
  return (name, entry) => {
    if (!args.all && name[0] === 0x2e && name.length > 1 && name[1] !== 0x2f) return;
    const short = isExact ? name : Buffer.from(showPath(name));
    const line = args.long ? longLine(entry, name, isExact) : short;
    writeAll(1, Buffer.concat([line, LINE_FEED]));
  };
}
