/** What the small file commands share: their operands, one connection a target. */
import type { AgentClient } from "../../agent/client/agent-client.ts";
import { resolveHome } from "../../agent/client/home-path.ts";
import { rawWords } from "../../process/raw-arguments.ts";
import type { jsonArgument } from "../shared/connect-options.ts";
import { AgentClients, forEachOperand } from "../shared/operands.ts";
import { type AgentValues, checkTargets, remoteOperand } from "../shared/target.ts";
import { type ArgumentValues, operands } from "../../ui/argument.ts";
import { word } from "../../ui/value-kind.ts";

/** A path in a guest, and how the user wrote it. */
export interface RemotePath {
  target: string;
  path: Uint8Array;
  shown: string;
}

/**
 * The paths of the positional `paths`.
 *
 * @throws {VsockboxError} USAGE for one that names no guest; as `checkTargets`.
 */
export function remotePaths(command: string, words: readonly string[]): RemotePath[] {
  const raw = rawWords(words);
  checkTargets(raw, false);
  return raw.map((bytes, index) => {
    const { target, path } = remoteOperand(command, bytes);
    return { target, path, shown: words[index] ?? "" };
  });
}

/**
 * Calls `action` for each `TARGET:PATH` of the positional `paths`, in order. One that fails does not
 * hold up the others.
 *
 * @param options `expands`: patterns stand for the files that match them in the guest.
 * @returns the exit status: of the first failure, else 0.
 */
export async function forEachPath(
  command: string,
  args: PathValues,
  action: (client: AgentClient, path: Uint8Array, shown: string) => Promise<void>,
  { expands = false }: { expands?: boolean } = {},
): Promise<number> {
  const paths = remotePaths(command, args.paths);
  await using clients = new AgentClients(args);
  const work = async ({ target, path, shown }: RemotePath) => {
    const client = await clients.get(target);
    if (!expands) return await action(client, await resolveHome(client, path), shown);
    // Loaded only here: most of these commands have no patterns.
    const { expandOperand } = await import("./expand-pattern.ts");
    const matches = await expandOperand(client, { target, path, shown });
    const act = (match: { path: Uint8Array; shown: string }) =>
      action(client, match.path, match.shown);
    return await forEachOperand(matches, act, { json: args.json === true });
  };
  return await forEachOperand(paths, work, { json: args.json === true });
}

/** The positional of {@link forEachPath}. */
export const pathsArgument = {
  paths: operands(word("PATH"), {
    valueName: "TARGET:PATH...",
    summary: "Paths in guests; `~` is the home directory of the agent's user",
  }),
};

/** The values of {@link pathsArgument} and of the options that every one of these commands has. */
type PathValues = ArgumentValues<typeof pathsArgument> &
  AgentValues &
  Partial<ArgumentValues<typeof jsonArgument>>;
