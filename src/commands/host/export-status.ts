/** `vsockbox export status`: the exports that processes of this user serve. */
import { operands } from "../../ui/argument.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { word } from "../../ui/value-kind.ts";
import { jsonArgument } from "../shared/connect-options.ts";

export const command = defineCommand({
  name: "export status",
  group: "Host devices",
  summary: "Show running exports and their connections",
  args: {
    path: operands(word("PATH"), {
      optional: true,
      defaultText: "all exports of yours",
      summary: "An export's Unix socket, its --uds-path, or its control socket",
    }),
    ...jsonArgument,
  },
  examples: [
    { command: "vsockbox export status", explanation: "All exports of yours on this machine" },
    {
      command: "vsockbox export status $XDG_RUNTIME_DIR/vm3.vsock --json",
      explanation: "That of one VM, as one JSON object",
    },
  ],
  async run({ path, json }) {
    const { showExports } = await import("./export-status-run.ts");
    await showExports(path, json);
    return 0;
  },
});
