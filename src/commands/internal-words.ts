/** The hidden first words by which vsockbox runs itself. */
import { GROUP_GUARD_WORD } from "../process/group-guard-word.ts";
import { RUN_AS_WORD } from "../process/run-as-word.ts";
import { WAKE_WORD } from "../vfs/mount/wake-word.ts";

/** Runs the part of the program that a hidden word stands for; undefined if it stands for none. */
export async function runInternal(word: string): Promise<number | undefined> {
  switch (word) {
    case RUN_AS_WORD: {
      const { runAs } = await import("../process/run-as.ts");
      return runAs();
    }
    case GROUP_GUARD_WORD: {
      const { runGroupGuard } = await import("../process/group-guard-process.ts");
      return await runGroupGuard();
    }
    case WAKE_WORD: {
      const { wakeWatches } = await import("../vfs/mount/wake-process.ts");
      return wakeWatches();
    }
    default:
      return undefined;
  }
}
