/** What the small file commands share: their operands, one connection a target. */
import { AgentClient } from "../agent/agent-client.ts";
import { toVsockboxError } from "../errors.ts";
import { rawWords } from "../process/raw-arguments.ts";
import type { Arguments } from "../ui/command.ts";
import { reportError } from "../ui/report.ts";
import { agentTarget, remoteOperand } from "./target.ts";

/** Errors of one path, not of the connection. */
const ITS_OWN = new Set(["IO", "USAGE", "CANNOT_CREATE"]);

/**
 * Calls `action` for each `TARGET:PATH` of the positional `paths`, in order. One that fails does not
 * hold up the others.
 *
 * @returns the exit status: of the first failure, else 0.
 */
export async function forEachPath(
  command: string,
  args: Arguments,
  action: (client: AgentClient, path: Uint8Array, shown: string) => Promise<void>,
): Promise<number> {
  const words = args.list("paths");
  const operands = rawWords(words).map((word) => remoteOperand(command, word));
  const clients = new Map<string, AgentClient>();
  let status = 0;
  try {
    for (const [index, { target, path }] of operands.entries()) {
      let client = clients.get(target);
      if (client === undefined) {
        const { address, options } = agentTarget(args, target);
        client = await AgentClient.connect(address, options);
        clients.set(target, client);
      }
      try {
        await action(client, path, words[index] ?? "");
      } catch (thrown) {
        if (!ITS_OWN.has(toVsockboxError(thrown).code)) throw thrown;
        const own = reportError(thrown);
        status ||= own;
      }
    }
    return status;
  } finally {
    await Promise.all([...clients.values()].map((client) => client.close()));
  }
}

/** The positional of {@link forEachPath}. */
export const pathsArgument = {
  paths: {
    type: "positional",
    required: true,
    repeatable: true,
    description: "TARGET:PATH, one or more",
  },
} as const;
