/** `vsockbox watch`: prints changes of files in guests as they happen. */
import { resolveHome } from "../../agent/client/home-path.ts";
import type { WatchedPath } from "../../agent/client/watched-path.ts";
import { showPath } from "../../files/bytes-path.ts";
import { isBrokenPipe, StandardOutput } from "../../io/stdio.ts";
import { STATUS_BROKEN_PIPE } from "../../process/exit-status.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import type { JsonObject } from "../../protocols/agent/json-fields.ts";
import { printableJson } from "../../text/printable.ts";
import { type ArgumentValues, flag, list } from "../../ui/argument.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { say } from "../../ui/report.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { EXCLUDED_NAME } from "../shared/name-kinds.ts";
import { AgentClients, forEachOperand } from "../shared/operands.ts";
import { agentArguments } from "../shared/target.ts";
import { pathsArgument, type RemotePath, remotePaths } from "./file-command.ts";
import {
  changeJson,
  changeLine,
  readyJson,
  watchedText,
  type WatchedOperand,
} from "./watch-lines.ts";

const ARGUMENTS = {
  ...pathsArgument,
  recursive: flag({ short: "r", summary: "Also watch the directories below, new ones included" }),
  exclude: list(EXCLUDED_NAME, {
    summary: "Leave out files and directories whose name matches, such as .git or '*.tmp'",
  }),
  once: flag({ summary: "End after the first change" }),
  quiet: flag({ short: "q", summary: "Print no line when the watch is armed" }),
  ...agentArguments,
  ...jsonArgument,
};

/** One operand that is being watched. */
interface Armed {
  operand: WatchedOperand;
  watch: WatchedPath;
}

export const command = defineCommand({
  name: "watch",
  group: "Files",
  summary: "Print changes of files in a guest as they happen",
  args: ARGUMENTS,
  examples: [
    { command: "vsockbox watch -r 3:/srv/app", explanation: "A line a change, until Ctrl-C" },
    {
      command: "vsockbox watch -r --exclude .git --exclude node_modules --json web:/work",
      explanation: "A JSON object a change, without two directories",
    },
    {
      command: "vsockbox watch --once 3:/run/app.ready",
      explanation: "Wait for the next change of a file",
    },
  ],
  async run(args) {
    const paths = remotePaths("watch", args.paths);
    const isInterrupted = Promise.withResolvers<number>();
    const interrupt = new AbortController();
    using _signals = onEndingSignal((signal) => {
      isInterrupted.resolve(statusOfSignal(signal));
      interrupt.abort();
    });
    await using clients = new AgentClients(args, interrupt.signal);
    const watched = watchAll(paths, clients, args);
    return await Promise.race([watched, isInterrupted.promise]);
  },
});

async function watchAll(
  paths: readonly RemotePath[],
  clients: AgentClients,
  args: ArgumentValues<typeof ARGUMENTS>,
): Promise<number> {
  const armed: Armed[] = [];
  const { recursive, exclude, json } = args;
  const arm = async (operand: RemotePath) => {
    const client = await clients.get(operand.target);
    const path = await resolveHome(client, operand.path);
    const watch = await client.watch(path, { recursive, exclude });
    armed.push({ watch, operand: { target: operand.target, path } });
  };
  const status = await forEachOperand(paths, arm, { json });
  const output = new ChangeOutput(args, new Set(paths.map(({ target }) => target)).size > 1);
  try {
    for (const one of armed) await output.announce(one);
    const printed = armed.map((one) => output.printChanges(one));
    await (args.once ? Promise.race(printed) : Promise.all(printed));
  } catch (thrown) {
    if (isBrokenPipe(thrown)) return STATUS_BROKEN_PIPE;
    throw thrown;
  }
  return status;
}

/** Prints armed watches and their changes. */
class ChangeOutput {
  readonly #args: ArgumentValues<typeof ARGUMENTS>;
  readonly #showsTarget: boolean;
  readonly #output = new StandardOutput(1);
  #isEnough = false;

  constructor(args: ArgumentValues<typeof ARGUMENTS>, showsTarget: boolean) {
    this.#args = args;
    this.#showsTarget = showsTarget;
  }

  async announce({ watch, operand }: Armed): Promise<void> {
    if (this.#args.json) return this.#writeJson(readyJson(watch, operand));
    if (this.#args.quiet) return;
    const what = `${operand.target}:${showPath(operand.path)}`;
    say(`vsockbox: watching ${what} (${watchedText(watch)})`);
  }

  async printChanges({ watch, operand }: Armed): Promise<void> {
    for await (const change of watch.events()) {
      if (this.#isEnough) return;
      this.#isEnough = this.#args.once;
      if (this.#args.json) await this.#writeJson(changeJson(change, operand));
      else await this.#write(changeLine(change, operand, this.#showsTarget));
      if (this.#isEnough) return;
    }
  }

  #writeJson(value: JsonObject): Promise<void> {
    return this.#write(printableJson(value));
  }

  async #write(line: string): Promise<void> {
    await this.#output.write(Buffer.from(`${line}\n`));
  }
}
