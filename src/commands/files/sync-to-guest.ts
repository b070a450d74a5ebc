/** A mirror of a local directory in a guest. */
import type { AgentClient } from "../../agent/client/agent-client.ts";
import type { TransferSummary } from "../../agent/transfer/transfer.ts";
import { commandLineError, reasonOf, VsockboxError } from "../../errors.ts";
import {
  baseName,
  type BytesPath,
  bytesPath,
  joinPath,
  parentOf,
  showPath,
} from "../../files/bytes-path.ts";
import { REMOVE_BENEATH_FEATURE } from "../../protocols/agent/hello.ts";
import { field, integerField } from "../../protocols/agent/json-fields.ts";
import { decodePath } from "../../protocols/agent/paths.ts";
import { excludedNames } from "../../vfs/watch/excluded-names.ts";
import { PathWatch } from "../../vfs/watch/path-watch.ts";
import type { SourceWatch, SyncEnds, SyncEndsOptions } from "./sync-ends.ts";
import { type SyncTree, withAncestors } from "./sync-plan.ts";
import { readGuestTree, readLocalTree, type SyncScope, syncBytes, syncPath } from "./sync-trees.ts";

/** Removals that are requested at once. */
const MAX_REMOVALS = 8;

/** Mirrors a local directory into a guest. */
export class SyncToGuest implements SyncEnds {
  readonly #client: AgentClient;
  readonly #options: SyncEndsOptions;
  readonly #source: BytesPath;
  readonly #destination: BytesPath;
  #exists: boolean;

  private constructor(
    client: AgentClient,
    options: SyncEndsOptions,
    places: { source: BytesPath; destination: BytesPath; exists: boolean },
  ) {
    this.#client = client;
    this.#options = options;
    this.#source = places.source;
    this.#destination = places.destination;
    this.#exists = places.exists;
  }

  /**
   * Examines the destination.
   *
   * @throws {VsockboxError} USAGE if it is not a directory, or the guest's root; UNAVAILABLE if the
   * agent cannot remove files within a directory; the agent's error.
   */
  static async open(
    client: AgentClient,
    { source, destination }: { source: Uint8Array; destination: Uint8Array },
    options: SyncEndsOptions,
  ): Promise<SyncToGuest> {
    if (options.deletes && !client.hello.features.includes(REMOVE_BENEATH_FEATURE)) {
      throw new VsockboxError({
        code: "UNAVAILABLE",
        operation: "remove",
        message: "this agent cannot confine removals to a directory",
        hint: "run a newer `vsockbox agent` in the guest, or leave --delete out",
      });
    }
    const examined = await examine(client, bytesPath(destination));
    return new SyncToGuest(client, options, { source: bytesPath(source), ...examined });
  }

  async readSource(scope: SyncScope): Promise<SyncTree> {
    return readLocalTree(this.#source, scope);
  }

  readDestination(scope: SyncScope): Promise<SyncTree> {
    return readGuestTree(this.#client, this.#destination, scope);
  }

  async remove(paths: readonly string[], summary: TransferSummary): Promise<number> {
    let removed = 0;
    const remove = async (path: string) => {
      const result = await this.#client.request({
        op: "remove",
        path: joinPath(this.#destination, syncBytes(path)),
        beneath: this.#destination,
        ...{ recursive: true, force: true, report: true },
      });
      removed += integerField("remove result", result, "removed", Number.MAX_SAFE_INTEGER) ?? 0;
      summary.addReported(result);
    };
    for (let at = 0; at < paths.length; at += MAX_REMOVALS) {
      await Promise.all(paths.slice(at, at + MAX_REMOVALS).map(remove));
    }
    return removed;
  }

  async copy(paths: readonly string[], _: SyncTree, summary: TransferSummary): Promise<void> {
    if (paths.length === 0 && this.#exists) return;
    const { checksum, signal } = this.#options;
    const selected = withAncestors(paths);
    const directory = parentOf(this.#destination);
    const name = baseName(this.#destination);
    const copied = await this.#client.upload(this.#source, directory, name, {
      recursive: true,
      preserve: true,
      // The content of each file is compared before it is sent.
      resume: checksum,
      checksum,
      signal,
      selects: (path) => selected.has(syncPath(path)),
    });
    this.#exists = true;
    summary.add(copied);
  }

  watchSource(): Promise<SourceWatch> {
    const isHidden = excludedNames(this.#options.exclude);
    return PathWatch.open(this.#source, { isRecursive: true, isHidden });
  }
}

async function examine(
  client: AgentClient,
  destination: BytesPath,
): Promise<{ destination: BytesPath; exists: boolean }> {
  const shown = showPath(destination);
  let facts;
  try {
    facts = await client.request({ op: "stat", path: destination, follow: true });
  } catch (thrown) {
    if (reasonOf(thrown).errno !== "ENOENT") throw thrown;
    return { destination, exists: false };
  }
  if (field(facts, "type") !== "directory") {
    throw commandLineError("sync", `the destination ${shown} is not a directory`);
  }
  const real = decodePath(field(facts, "realPath"));
  if (real === undefined || real.length <= 1) {
    throw commandLineError(
      "sync",
      `the destination ${shown} is the root of the guest`,
      "name a directory in it",
    );
  }
  return { destination: bytesPath(real), exists: true };
}
