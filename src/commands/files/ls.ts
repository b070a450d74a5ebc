/** `vsockbox ls`: lists directories of a guest. */
import { entryJson } from "../shared/json-shapes.ts";
import { resolveHome } from "../../agent/client/home-path.ts";
import { mayUseGoFrames } from "../../agent/client/handshake.ts";
import { listOldDirectory } from "../../agent/client/go-files.ts";
import { showPath } from "../../files/bytes-path.ts";
import { goFileKind, unixMode } from "../../protocols/agent/file-messages.ts";
import type { JsonObject } from "../../protocols/agent/json-fields.ts";
import { encodePath } from "../../protocols/agent/paths.ts";
import { print, printJson, writeAll } from "../../ui/report.ts";
import { readAddress } from "../shared/address-kind.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { pathsArgument, type RemotePath, remotePaths } from "./file-command.ts";
import { longLine } from "./file-lines.ts";
import { AgentClients, forEachOperand } from "../shared/operands.ts";
import { agentArguments, agentTarget } from "../shared/target.ts";
import { flag, type ArgumentValues } from "../../ui/argument.ts";
import { defineCommand } from "../../ui/command-definition.ts";

const ARGUMENTS = {
  ...pathsArgument,
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
    { command: "vsockbox ls --json 3:/var/log", explanation: "A JSON object a file" },
  ],
  async run(args) {
    const operands = remotePaths("ls", args.paths);
    await using clients = new AgentClients(args);
    let isFirst = true;
    const list = async ({ target, path, shown }: RemotePath) => {
      const show = lister(args, shown);
      if (operands.length > 1 && !args.json) {
        if (!isFirst) print("");
        print(`${shown}:`);
      }
      isFirst = false;
      try {
        const client = await clients.get(target);
        const resolved = await resolveHome(client, path);
        for await (const { name, facts } of client.list(resolved)) show(name, facts);
      } catch (thrown) {
        const { address, options } = agentTarget(args, readAddress(target));
        if (!mayUseGoFrames(thrown, options)) throw thrown;
        const directory = await resolveHome(undefined, path);
        const files = await listOldDirectory(address, options, directory);
        for (const { name, size, mode, is_dir: isDirectory } of files) {
          const type = isDirectory ? "directory" : goFileKind(mode);
          const bytes = Buffer.from(name);
          show(bytes, { name: encodePath(bytes), type, size, mode: unixMode(mode) });
        }
      }
    };
    return await forEachOperand(operands, list, { json: args.json });
  },
});

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
