/** Plays sessions that a seed brings back. */
import { reasonOf } from "../../src/errors.ts";
import { hoarding, MEMORY_BATCH, processorMs, SLOW_MS } from "./bounds.ts";
import { replayOption } from "./program.ts";
import { Random } from "./random.ts";
import type { VhostTarget } from "./promises.ts";

/** What became of a run. */
export interface VhostReport {
  target: string;
  sessions: number;
  steps: number;
  /** Steps that were refused as they should be. */
  refused: number;
  milliseconds: number;
  failure: { reason: string; replay: string } | undefined;
}

/** Plays one session. */
export function playSession(
  target: VhostTarget,
  seed: number,
  index: number,
  random = new Random(),
) {
  random.begin(seed, index);
  return target.run(random);
}

/** Plays sessions until there were enough steps, or one breaks a promise. */
export function fuzzVhost(
  target: VhostTarget,
  { steps, seed, onSession }: { steps: number; seed: number; onSession?: (index: number) => void },
): VhostReport {
  const random = new Random();
  const rssBefore = process.memoryUsage.rss();
  // Stacks take most of the time of a step that is refused; a replay shows them.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  const begin = performance.now();
  const report: VhostReport = {
    target: target.name,
    sessions: 0,
    steps: 0,
    refused: 0,
    milliseconds: 0,
    failure: undefined,
  };
  let last = begin;
  while (report.steps < steps && report.failure === undefined) {
    const index = report.sessions++;
    onSession?.(index);
    let reason: string | undefined;
    try {
      const done = playSession(target, seed, index, random);
      report.steps += done.steps;
      report.refused += done.refused;
    } catch (thrown) {
      const name = thrown instanceof Error ? thrown.name : "thrown";
      reason = `${name}: ${reasonOf(thrown).message}`;
    }
    const now = performance.now();
    if (now - last > SLOW_MS && reason === undefined) {
      const again = processorMs(() => playSession(target, seed, index, random));
      if (again > SLOW_MS) reason = `one session took ${Math.round(again)} ms`;
    }
    if (index % MEMORY_BATCH === MEMORY_BATCH - 1) reason ??= hoarding(rssBefore);
    if (reason !== undefined)
      report.failure = { reason, replay: replayOption(target.name, `${seed}:${index}`) };
    last = performance.now();
  }
  Error.stackTraceLimit = stackTraceLimit;
  report.milliseconds = performance.now() - begin;
  return report;
}
