/** Makes a directory of a guest a mirror of a local one: compares both, removes, and copies. */
import type { AgentClient } from "../../agent/client/agent-client.ts";
import { FileFailures } from "../../agent/transfer/file-failures.ts";
import { TransferSummary } from "../../agent/transfer/transfer.ts";
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
import { planSync, type SyncPlan, type SyncRules, withAncestors } from "./sync-plan.ts";
import { readGuestTree, readLocalTree, syncBytes, syncPath } from "./sync-trees.ts";

/** Removals that are requested at once. */
const MAX_REMOVALS = 8;

/** What is mirrored, and how. */
export interface SyncOptions extends SyncRules {
  /** The local directory. */
  source: BytesPath;
  /** The directory of the guest, which is made if it does not exist. */
  destination: Uint8Array;
  /** Whether a path is left out on both sides. */
  isExcluded: ((path: BytesPath) => boolean) | undefined;
  /** Reports what would be done, and does nothing. */
  isDryRun: boolean;
  /** Fires to end the transfer. */
  signal: AbortSignal;
}

/** Result of one comparison. */
export interface SyncResult {
  plan: SyncPlan;
  /** What was copied, and all failures. */
  summary: TransferSummary;
  /** Files and directories that were removed. */
  removed: number;
  durationMs: number;
}

/** Mirrors one directory. */
export class SyncJob {
  readonly #client: AgentClient;
  readonly #options: SyncOptions;
  readonly #destination: BytesPath;
  #exists: boolean;

  private constructor(
    client: AgentClient,
    options: SyncOptions,
    { destination, exists }: { destination: BytesPath; exists: boolean },
  ) {
    this.#client = client;
    this.#options = options;
    this.#destination = destination;
    this.#exists = exists;
  }

  /**
   * Examines the destination.
   *
   * @throws {VsockboxError} USAGE if it is not a directory, or the guest's root; UNAVAILABLE if the
   * agent cannot remove files within a directory; the agent's error.
   */
  static async open(client: AgentClient, options: SyncOptions): Promise<SyncJob> {
    if (options.deletes && !client.hello.features.includes(REMOVE_BENEATH_FEATURE)) {
      throw new VsockboxError({
        code: "UNAVAILABLE",
        operation: "remove",
        message: "this agent cannot confine removals to a directory",
        hint: "run a newer `vsockbox agent` in the guest, or leave --delete out",
      });
    }
    return new SyncJob(client, options, await examine(client, bytesPath(options.destination)));
  }

  /**
   * Compares and mirrors once.
   *
   * @param paths relative to the source; undefined: the whole tree.
   * @throws {VsockboxError} what ends the whole transfer; failures of single files are in the summary.
   */
  async run(paths?: readonly string[]): Promise<SyncResult> {
    const begin = performance.now();
    const { source, isExcluded, isDryRun } = this.#options;
    const scope = { paths, isExcluded };
    const local = readLocalTree(source, scope);
    const remote = await readGuestTree(this.#client, this.#destination, scope);
    const plan = planSync(local, remote, this.#options);
    const summary = new TransferSummary();
    let removed = 0;
    if (!isDryRun) {
      removed = await this.#remove(plan.removals, summary);
      await this.#copy(plan.copies, summary);
    }
    noteRest(plan, summary);
    return { plan, summary, removed, durationMs: performance.now() - begin };
  }

  async #remove(paths: readonly string[], summary: TransferSummary): Promise<number> {
    let removed = 0;
    const remove = async (path: string) => {
      const result = await this.#client.request({
        op: "remove",
        path: joinPath(this.#destination, syncBytes(path)),
        beneath: this.#destination,
        ...{ recursive: true, force: true, report: true },
      });
      removed += integerField("remove result", result, "removed", Number.MAX_SAFE_INTEGER) ?? 0;
      const failures = new FileFailures();
      failures.addReported(result);
      summary.addFailures(failures);
    };
    for (let at = 0; at < paths.length; at += MAX_REMOVALS) {
      await Promise.all(paths.slice(at, at + MAX_REMOVALS).map(remove));
    }
    return removed;
  }

  async #copy(paths: readonly string[], summary: TransferSummary): Promise<void> {
    if (paths.length === 0 && this.#exists) return;
    const { source, checksum, signal } = this.#options;
    const selected = withAncestors(paths);
    const directory = parentOf(this.#destination);
    const copied = await this.#client.upload(source, directory, baseName(this.#destination), {
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

/** Notes what was left alone. */
function noteRest({ conflicts, unsupported }: SyncPlan, summary: TransferSummary): void {
  const note = (path: string, message: string, hint?: string) => {
    const address = showPath(syncBytes(path));
    summary.note(new VsockboxError({ code: "IO", operation: "copy", address, message, hint }));
  };
  for (const path of conflicts) {
    const message = "one side has a directory there, and the other a file; --delete replaces it";
    note(path, message);
  }
  for (const path of unsupported) note(path, "devices, FIFOs and sockets cannot be copied");
}
