/** Makes one directory the mirror of another: compares both, removes, and copies. */
import { TransferSummary } from "../../agent/transfer/transfer.ts";
import { VsockboxError } from "../../errors.ts";
import { showPath } from "../../files/bytes-path.ts";
import { excludedNames } from "../../vfs/watch/excluded-names.ts";
import type { SyncEnds, SyncEndsOptions } from "./sync-ends.ts";
import { planSync, type SyncPlan } from "./sync-plan.ts";
import { syncBytes } from "./sync-trees.ts";

/** How a mirror is made. */
export interface SyncOptions extends SyncEndsOptions {
  /** Reports what would be done, and does nothing. */
  isDryRun: boolean;
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

/**
 * Compares and mirrors once.
 *
 * @param paths relative to the source; undefined: the whole tree.
 * @throws {VsockboxError} what ends the whole transfer; failures of single files are in the summary.
 */
export async function syncOnce(
  ends: SyncEnds,
  options: SyncOptions,
  paths?: readonly string[],
): Promise<SyncResult> {
  const begin = performance.now();
  const scope = { paths, isExcluded: excludedNames(options.exclude) };
  const source = await ends.readSource(scope);
  const plan = planSync(source, await ends.readDestination(scope), options);
  const summary = new TransferSummary();
  let removed = 0;
  if (!options.isDryRun) {
    removed = await ends.remove(plan.removals, summary);
    await ends.copy(plan.copies, source, summary);
  }
  noteRest(plan, summary);
  return { plan, summary, removed, durationMs: performance.now() - begin };
}

/** Notes what was left alone. */
function noteRest({ conflicts, unsupported }: SyncPlan, summary: TransferSummary): void {
  const note = (path: string, message: string) => {
    const address = showPath(syncBytes(path));
    summary.note(new VsockboxError({ code: "IO", operation: "copy", address, message }));
  };
  for (const path of conflicts) {
    note(path, "one side has a directory there, and the other a file; --delete replaces it");
  }
  for (const path of unsupported) note(path, "devices, FIFOs and sockets cannot be copied");
}
