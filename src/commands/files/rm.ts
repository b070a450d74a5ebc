/** `vsockbox rm`: removes files of a guest. */
import { FileFailures } from "../../agent/transfer/file-failures.ts";
import { VsockboxError } from "../../errors.ts";
import { showPath } from "../../files/bytes-path.ts";
import { field } from "../../protocols/agent/json-fields.ts";
import type { Command } from "../../ui/command.ts";
import { printJson } from "../../ui/report.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { forEachPath, pathsArgument } from "./file-command.ts";
import { agentArguments } from "../shared/target.ts";
import { printErrors } from "../shared/transfer-report.ts";

export const command: Command = {
  name: "rm",
  description: "Remove files and directories of a guest",
  args: {
    ...pathsArgument,
    recursive: { type: "boolean", alias: "r", description: "Directories with all in them" },
    force: { type: "boolean", alias: "f", description: "No error for what is not there" },
    ...agentArguments,
    ...jsonArgument,
  },
  examples: [
    { command: "vsockbox rm 3:/tmp/app.tar", explanation: "A file" },
    { command: "vsockbox rm -rf web:/srv/old", explanation: "A tree, if it is there" },
  ],
  run: (args) =>
    forEachPath("rm", args, async (client, path, shown) => {
      const recursive = args.flag("recursive");
      const result = await client.request({
        op: "remove",
        path,
        recursive,
        force: args.flag("force"),
        report: true,
      });
      const failures = new FileFailures();
      failures.addReported(result);
      const { errorCount } = failures;
      printErrors(failures);
      if (args.flag("json")) {
        printJson({ path: shown, removed: field(result, "removed"), ...failures.toWire() });
      }
      if (errorCount > 0) throw notRemoved(path, errorCount);
    }),
};

function notRemoved(path: Uint8Array, count: number): VsockboxError {
  return new VsockboxError({
    code: "IO",
    operation: "remove",
    address: showPath(path),
    message: count === 1 ? "one file in it is left" : `${count} files in it are left`,
  });
}
