/** `vsockbox mv`: renames a file of a guest. */
import { AgentClient } from "../agent/agent-client.ts";
import { reasonOf, VsockboxError } from "../errors.ts";
import { baseName, joinPath } from "../files/bytes-path.ts";
import { rawWords } from "../process/raw-arguments.ts";
import { field } from "../protocols/agent/json-fields.ts";
import type { Command } from "../ui/command.ts";
import { agentArguments, agentTarget, remoteOperand } from "./target.ts";

export const command: Command = {
  name: "mv",
  description: "Rename a file or directory of a guest",
  args: {
    from: { type: "positional", required: true, description: "TARGET:PATH" },
    to: {
      type: "positional",
      required: true,
      description: "The new path, or a directory for it, with the same TARGET",
    },
    "no-clobber": { type: "boolean", alias: "n", description: "Not where the new path exists" },
    ...agentArguments,
  },
  examples: [
    { command: "vsockbox mv 3:/srv/app.new 3:/srv/app", explanation: "Replaces a file at once" },
  ],
  async run(args) {
    const [from, to] = rawWords([args.required("from"), args.required("to")]).map((word) =>
      remoteOperand("mv", word),
    );
    if (from === undefined || to === undefined || from.target !== to.target) {
      throw new VsockboxError({
        code: "USAGE",
        operation: "mv",
        message: "both paths must be in the same guest",
        hint: "`vsockbox cp` copies from guest to guest",
      });
    }
    const { address, options } = agentTarget(args, from.target);
    await using client = await AgentClient.connect(address, options);
    const replace = !args.flag("no-clobber");
    const path = (await isDirectory(client, to.path))
      ? joinPath(to.path, baseName(from.path))
      : to.path;
    await client.request({ op: "rename", path: from.path, to: path, replace });
    return 0;
  },
};

async function isDirectory(client: AgentClient, path: Uint8Array): Promise<boolean> {
  try {
    const facts = await client.request({ op: "stat", path, follow: true });
    return field(facts, "type") === "directory";
  } catch (thrown) {
    if (reasonOf(thrown).errno === "ENOENT") return false;
    throw thrown;
  }
}
