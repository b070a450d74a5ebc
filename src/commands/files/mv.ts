/** `vsockbox mv`: renames a file of a guest. */
import { AgentClient } from "../../agent/client/agent-client.ts";
import { resolveHome } from "../../agent/client/home-path.ts";
import { commandLineError, reasonOf, VsockboxError } from "../../errors.ts";
import { baseName, joinPath } from "../../files/bytes-path.ts";
import { rawWords } from "../../process/raw-arguments.ts";
import { field } from "../../protocols/agent/json-fields.ts";
import { readAddress } from "../shared/address-kind.ts";
import { forEachOperand } from "../shared/operands.ts";
import { agentArguments, agentTarget, checkTargets, remoteOperand } from "../shared/target.ts";
import { flag, operands } from "../../ui/argument.ts";
import { word } from "../../ui/value-kind.ts";
import { defineCommand } from "../../ui/command-definition.ts";

export const command = defineCommand({
  name: "mv",
  group: "Files",
  summary: "Rename files and directories in a guest",
  args: {
    paths: operands(word("PATH"), {
      valueName: "TARGET:SRC... TARGET:DST",
      summary: "Paths in one guest; the last is a new path or a directory",
    }),
    noClobber: flag({ summary: "Do not replace a file that exists" }),
    ...agentArguments,
  },
  examples: [
    { command: "vsockbox mv 3:/srv/app.new 3:/srv/app", explanation: "Replaces a file atomically" },
  ],
  async run(args) {
    const raw = rawWords(args.paths);
    checkTargets(raw, false);
    const paths = raw.map((bytes) => remoteOperand("mv", bytes));
    const to = paths.at(-1);
    const sources = paths.slice(0, -1);
    if (to === undefined || sources.length === 0) {
      throw usage("the destination is missing", "vsockbox mv TARGET:SRC... TARGET:DST");
    }
    if (sources.some(({ target }) => target !== to.target)) {
      throw usage(
        "all paths must be in the same guest",
        "`vsockbox cp` copies from guest to guest",
      );
    }
    const { address, options } = agentTarget(args, readAddress(to.target));
    await using client = await AgentClient.connect(address, options);
    const replace = !args.noClobber;
    const destination = await resolveHome(client, to.path);
    const intoDirectory = await isDirectory(client, destination);
    if (sources.length > 1 && !intoDirectory) {
      throw usage("the destination is not a directory", "several paths need a directory to go to");
    }
    return await forEachOperand(sources, async ({ path }) => {
      const source = await resolveHome(client, path);
      const target = intoDirectory ? joinPath(destination, baseName(source)) : destination;
      await client.request({ op: "rename", path: source, to: target, replace });
    });
  },
});

function usage(message: string, hint: string): VsockboxError {
  return commandLineError("mv", message, hint);
}

async function isDirectory(client: AgentClient, path: Uint8Array): Promise<boolean> {
  try {
    const facts = await client.request({ op: "stat", path, follow: true });
    return field(facts, "type") === "directory";
  } catch (thrown) {
    if (reasonOf(thrown).errno === "ENOENT") return false;
    throw thrown;
  }
}
