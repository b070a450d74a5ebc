/** `vsockbox ls`: what is in a guest's directory. */
import { AgentClient } from "../agent/agent-client.ts";
import { OldAgentError } from "../agent/hello-client.ts";
import { listOldDirectory } from "../agent/client/go-files.ts";
import { showPath } from "../files/bytes-path.ts";
import { rawWords } from "../process/raw-arguments.ts";
import { unixMode } from "../protocols/agent/file-messages.ts";
import type { JsonObject } from "../protocols/agent/json-fields.ts";
import { encodePath } from "../protocols/agent/paths.ts";
import type { Arguments, Command } from "../ui/command.ts";
import { printJson, writeAll } from "../ui/report.ts";
import { jsonArgument } from "./common.ts";
import { longLine } from "./file-lines.ts";
import { agentArguments, agentTarget, remoteOperand } from "./target.ts";

export const command: Command = {
  name: "ls",
  description: "List a directory of a guest",
  args: {
    path: { type: "positional", required: true, description: "TARGET:PATH" },
    long: { type: "boolean", alias: "l", description: "Also mode, owner, size and time" },
    all: { type: "boolean", alias: "a", description: "Also names that begin with a dot" },
    ...agentArguments,
    ...jsonArgument,
  },
  examples: [
    { command: "vsockbox ls 3:/etc", explanation: "Names, one a line" },
    { command: "vsockbox ls -la web:/srv", explanation: "With mode, owner, size and time" },
    { command: "vsockbox ls --json 3:/var/log", explanation: "A JSON object a file" },
  ],
  async run(args) {
    const [word = new Uint8Array(0)] = rawWords([args.required("path")]);
    const { target, path } = remoteOperand("ls", word);
    const { address, options } = agentTarget(args, target);
    try {
      await using client = await AgentClient.connect(address, options);
      for await (const { name, facts } of client.list(path)) show(args, name, facts);
    } catch (thrown) {
      if (!(thrown instanceof OldAgentError)) throw thrown;
      for (const { name, size, mode, is_dir: isDir } of (await listOldDirectory(
        address,
        options,
        path,
      )) ?? []) {
        const type = isDir ? "directory" : "file";
        const bytes = Buffer.from(name);
        show(args, bytes, { name: encodePath(bytes), type, size, mode: unixMode(mode) });
      }
    }
    return 0;
  },
};

const LINE_FEED = Buffer.from("\n");

function show(args: Arguments, name: Uint8Array, entry: JsonObject): void {
  // JSON is for programs: they get all there is.
  if (args.flag("json")) return printJson(entry);
  if (!args.flag("all") && name[0] === 0x2e && name.length > 1 && name[1] !== 0x2f) return;
  // A script gets the bytes of a name, a terminal nothing that it obeys, as with ls(1).
  const isExact = !process.stdout.isTTY;
  const short = isExact ? name : Buffer.from(showPath(name));
  const line = args.flag("long") ? longLine(entry, name, isExact) : short;
  writeAll(1, Buffer.concat([line, LINE_FEED]));
}
