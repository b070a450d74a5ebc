/** What `cp --dry-run` would copy: the files of a source, by their paths below it. */
import { statSync } from "node:fs";
import type { AgentClient } from "../../agent/client/agent-client.ts";
import { fileError } from "../../agent/transfer/transfer.ts";
import { VsockboxError } from "../../errors.ts";
import { realPathOf } from "../../ffi/real-path.ts";
import { bytesPath, showPath } from "../../files/bytes-path.ts";
import { fileKind, kindInWords } from "../../files/facts.ts";
import { textField } from "../../protocols/agent/json-fields.ts";
import type { SyncTree } from "./sync-plan.ts";
import { readGuestTree, readLocalTree, syncBytes } from "./sync-trees.ts";

const WHOLE = { paths: undefined, isExcluded: undefined };

const ITSELF: readonly Uint8Array[] = [Buffer.alloc(0)];

/**
 * Returns the files and links of a local source.
 *
 * @throws {VsockboxError} IO if it cannot be read; USAGE for a directory without `isRecursive`.
 */
export function localFiles(path: Uint8Array, isRecursive: boolean): readonly Uint8Array[] {
  let kind: string;
  try {
    kind = fileKind(statSync(bytesPath(path)));
  } catch (thrown) {
    throw fileError("read", bytesPath(path), thrown);
  }
  assertCopyable(kind, path, isRecursive);
  return kind === "directory" ? filesOf(readLocalTree(bytesPath(realPathOf(path)), WHOLE)) : ITSELF;
}

/**
 * Returns the files and links of a source in a guest.
 *
 * @throws {VsockboxError} as {@link localFiles}, and the agent's error.
 */
export async function guestFiles(
  client: AgentClient,
  path: Uint8Array,
  isRecursive: boolean,
): Promise<readonly Uint8Array[]> {
  const facts = await client.request({ op: "stat", path, follow: true });
  const kind = textField(facts, "type");
  assertCopyable(kind, path, isRecursive);
  return kind === "directory" ? filesOf(await readGuestTree(client, path, WHOLE)) : ITSELF;
}

/** Returns the files and links of a tree, sorted by their bytes. */
export function filesOf(tree: SyncTree): Uint8Array[] {
  return [...tree]
    .filter(([, { type }]) => type === "file" || type === "link")
    .map(([path]) => path)
    .toSorted()
    .map(syncBytes);
}

function assertCopyable(kind: string, path: Uint8Array, isRecursive: boolean): void {
  if (kind === "file" || (kind === "directory" && isRecursive)) return;
  const isDirectory = kind === "directory";
  throw new VsockboxError({
    code: isDirectory ? "USAGE" : "IO",
    operation: "copy",
    address: showPath(path),
    message: isDirectory
      ? "it is a directory"
      : `it is not a regular file but a ${kindInWords(kind)}`,
    hint: isDirectory ? "--recursive (-r) copies directories" : undefined,
  });
}
