/** The question of `rm --interactive` before each path. */
import { confirm } from "@clack/prompts";
import type { AgentClient } from "../../agent/client/agent-client.ts";
import { textField } from "../../protocols/agent/json-fields.ts";
import { printable } from "../../text/printable.ts";
import { answerOf, promptSession } from "../shared/prompts.ts";

/**
 * Asks whether a path is to be removed; one that does not exist needs no answer.
 *
 * @param shown the path as the user wrote it.
 * @throws {VsockboxError} ABORTED if the user cancels.
 */
export async function confirmRemoval(
  client: AgentClient,
  path: Uint8Array,
  shown: string,
): Promise<boolean> {
  const request = { op: "stat", path, follow: false } as const;
  const facts = await client.request(request).catch(() => undefined);
  if (facts === undefined) return true;
  using _session = promptSession();
  const message = removalQuestion(textField(facts, "type"), shown);
  return await answerOf(confirm({ message, initialValue: false }));
}

/** Returns the question for a kind of file. */
export function removalQuestion(kind: string, shown: string): string {
  const name = printable(shown);
  if (kind === "directory") return `Remove the directory ${name}?`;
  return kind === "link" ? `Remove the link ${name}?` : `Remove ${name}?`;
}
