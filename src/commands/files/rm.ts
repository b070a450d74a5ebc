/** `vsockbox rm`: removes files of a guest. */
import { failuresJson } from "../shared/json-shapes.ts";
import { FileFailures } from "../../agent/transfer/file-failures.ts";
import { commandLineError, VsockboxError } from "../../errors.ts";
import { showPath } from "../../files/bytes-path.ts";
import { field } from "../../protocols/agent/json-fields.ts";
import { printJson } from "../../ui/report.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { hasTerminal } from "../../process/has-terminal.ts";
import { withRecursiveLetter } from "./recursive-letter.ts";
import { forEachPath, pathsArgument } from "./file-command.ts";
import { agentArguments } from "../shared/target.ts";
import { printErrors } from "../shared/transfer-report.ts";
import { flag } from "../../ui/argument.ts";
import { defineCommand } from "../../ui/command-definition.ts";

export const command = defineCommand({
  name: "rm",
  group: "Files",
  summary: "Remove files and directories in a guest",
  args: {
    ...pathsArgument,
    recursive: flag({ short: "r", summary: "Remove directories with their contents" }),
    force: flag({ short: "f", summary: "Ignore paths that do not exist" }),
    interactive: flag({
      short: "i",
      summary: "Ask on the terminal before each path; with --recursive once for a whole tree",
    }),
    ...agentArguments,
    ...jsonArgument,
  },
  conflicts: { interactive: ["force", "json"] },
  rewrite: withRecursiveLetter,
  examples: [
    { command: "vsockbox rm 3:/tmp/app.tar", explanation: "A file" },
    { command: "vsockbox rm -rf web:/srv/old", explanation: "A tree, if it is there" },
    { command: "vsockbox rm -i 3:/tmp/a 3:/tmp/b", explanation: "Asks before each" },
  ],
  async run(args) {
    if (args.interactive) assertPromptTerminal();
    return await forEachPath("rm", args, async (client, path, shown) => {
      const { recursive } = args;
      if (args.interactive) {
        const { confirmRemoval } = await import("./confirm-removal.ts");
        if (!(await confirmRemoval(client, path, shown))) return;
      }
      const result = await client.request({
        op: "remove",
        path,
        recursive,
        force: args.force,
        report: true,
      });
      const failures = new FileFailures();
      failures.addReported(result);
      const { errorCount } = failures;
      printErrors(failures);
      if (args.json) {
        const removed = field(result, "removed") ?? null;
        printJson({ path: shown, removed, ...failuresJson(failures) });
      }
      if (errorCount > 0) throw notRemoved(path, errorCount);
    });
  },
});

/** @throws {VsockboxError} USAGE if no question can be asked. */
function assertPromptTerminal(): void {
  if (hasTerminal()) return;
  throw commandLineError(
    "rm",
    "--interactive needs a terminal as standard input and output",
    "without it, paths are removed at once",
  );
}

function notRemoved(path: Uint8Array, count: number): VsockboxError {
  return new VsockboxError({
    code: "IO",
    operation: "remove",
    address: showPath(path),
    message: count === 1 ? "one file in it is left" : `${count} files in it are left`,
  });
}
