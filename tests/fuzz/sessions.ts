/** A fuzzer of sessions as a program. */
import { commandLineError } from "../../src/errors.ts";
import { runFuzzer, seedAndIndex } from "./program.ts";
import type { VhostTarget } from "./promises.ts";
import { fuzzVhost, playSession } from "./vhost-fuzzer.ts";

/**
 * Runs it.
 *
 * @param path of the program below the root of the tree.
 * @param steps for each target unless told otherwise.
 */
export function runSessions(
  path: string,
  targets: readonly VhostTarget[],
  steps: number,
): Promise<void> {
  return runFuzzer({
    path,
    targets,
    counted: ["steps", steps],
    run: (target, { count, seed, onBegin }) =>
      fuzzVhost(target, { steps: count, seed, onSession: onBegin }),
    facts: (report) => [
      `${report.steps} steps`,
      `${report.sessions} sessions`,
      `${Math.round((report.refused / Math.max(report.steps, 1)) * 100)} % refused`,
    ],
    replay(target, word) {
      const which = seedAndIndex(word);
      if (which === undefined) {
        const message = `no SEED:INDEX: ${JSON.stringify(word)}`;
        throw commandLineError("fuzz", message);
      }
      const played = playSession(target, ...which);
      return `${played.steps} steps, ${played.refused} refused`;
    },
  });
}
