/** What the small file commands share: their operands, one connection a target. */
import { AgentClient } from "../agent/agent-client.ts";
import { rawWords } from "../process/raw-arguments.ts";
import type { Arguments } from "../ui/command.ts";
import { agentTarget, remoteOperand } from "./target.ts";

/** Calls `action` for each `TARGET:PATH` of the positional `paths`, in order. */
export async function forEachPath(
  command: string,
  args: Arguments,
  action: (client: AgentClient, path: Uint8Array, shown: string) => Promise<void>,
): Promise<number> {
  const words = args.list("paths");
  const operands = rawWords(words).map((word) => remoteOperand(command, word));
  const clients = new Map<string, AgentClient>();
  try {
    for (const [index, { target, path }] of operands.entries()) {
      let client = clients.get(target);
      if (client === undefined) {
        const { address, options } = agentTarget(args, target);
        client = await AgentClient.connect(address, options);
        clients.set(target, client);
      }
      await action(client, path, words[index] ?? "");
    }
    return 0;
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
