/** What the small file commands share: their operands, one connection a target. */
import type { AgentClient } from "../../agent/client/agent-client.ts";
import { resolveHome } from "../../agent/client/home-path.ts";
import { rawWords } from "../../process/raw-arguments.ts";
import type { Arguments } from "../../ui/command.ts";
import { AgentClients, forEachOperand } from "../shared/operands.ts";
import { remoteOperand } from "../shared/target.ts";

/** A path in a guest, and how the user wrote it. */
export interface RemotePath {
  target: string;
  path: Uint8Array;
  shown: string;
}

/**
 * The paths of the positional `paths`.
 *
 * @throws {VsockboxError} USAGE for one that names no guest.
 */
export function remotePaths(command: string, args: Arguments): RemotePath[] {
  const words = args.list("paths");
  return rawWords(words).map((word, index) => {
    const { target, path } = remoteOperand(command, word);
    return { target, path, shown: words[index] ?? "" };
  });
}

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
  const operands = remotePaths(command, args);
  await using clients = new AgentClients(args);
  const work = async ({ target, path, shown }: RemotePath) => {
    const client = await clients.get(target);
    await action(client, await resolveHome(client, path), shown);
  };
  return await forEachOperand(operands, work, { json: args.flag("json") });
}

/** The positional of {@link forEachPath}. */
export const pathsArgument = {
  paths: {
    type: "positional",
    required: true,
    repeatable: true,
    description: "TARGET:PATH, one or more; `~` is the home of the agent's user",
  },
} as const;
