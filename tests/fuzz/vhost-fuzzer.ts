/** Plays sessions that a seed brings back. */
import { reasonOf } from "../../src/errors.ts";
import { Random } from "./random.ts";
import type { VhostTarget } from "./vhost-targets.ts";

/** A session that takes longer than this is a failure, in milliseconds. */
const SLOW_MS = 1000;

/** Memory that a run may take beyond what was there before it, in bytes. */
const GROWTH_BYTES = 256 * 1024 * 1024;

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

/** The option that plays one session alone. */
export function sessionOption(target: VhostTarget, seed: number, index: number): string {
  return `--replay ${target.name}:${seed}:${index}`;
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
    if (now - last > SLOW_MS) {
      // A machine may have other things to do for a second: slow is what is slow twice.
      playSession(target, seed, index, random);
      const again = performance.now() - now;
      if (again > SLOW_MS) reason ??= `one session took ${Math.round(again)} ms`;
    }
    if (index % 20_000 === 19_999 && grown(rssBefore) > GROWTH_BYTES) {
      reason ??= `it holds ${grown(rssBefore)} bytes more than before`;
    }
    if (reason !== undefined)
      report.failure = { reason, replay: sessionOption(target, seed, index) };
    last = performance.now();
  }
  Error.stackTraceLimit = stackTraceLimit;
  report.milliseconds = performance.now() - begin;
  return report;
}

/** What is garbage does not count. */
function grown(before: number): number {
  if (process.memoryUsage.rss() - before <= GROWTH_BYTES) return 0;
  Bun.gc(true);
  return process.memoryUsage.rss() - before;
}
