/** `vsockbox share`: one command on the host that mounts a directory of it in a running guest. */
import { type ArgumentValues, flag, list, operand, option } from "../../ui/argument.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { choice, DIRECTORY, word } from "../../ui/value-kind.ts";
import { CACHE_MODES } from "../../vfs/mount/cache-policy.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { HIDDEN_NAME } from "../shared/name-kinds.ts";
import { agentArguments } from "../shared/target.ts";

const ARGUMENTS = {
  directory: operand(DIRECTORY, { valueName: "DIR", summary: "The directory of the host" }),
  place: operand(word("TARGET:PATH"), {
    valueName: "TARGET:PATH",
    summary:
      "A guest with an agent, and where to mount in it; the directory is made if it is missing",
  }),
  readOnly: flag({ summary: "Allow no changes by the guest" }),
  hide: list(HIDDEN_NAME, {
    summary: "Hide files and directories with such a name, at every depth",
  }),
  cache: option(choice(CACHE_MODES), {
    default: "auto",
    summary: "What the guest keeps: see `vsockbox mount --help`",
  }),
  reconnect: flag({ summary: "Mount again when the guest or its agent was restarted" }),
  ...agentArguments,
  ...jsonArgument,
};

/** The values of `vsockbox share`. */
export type ShareValues = ArgumentValues<typeof ARGUMENTS>;

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
    {
      command: "vsockbox share . web:/srv/app --reconnect",
      explanation: "Also after the guest was restarted",
    },
  ],
  async run(args) {
    const { runShare } = await import("./share-run.ts");
    return runShare(args);
  },
});
