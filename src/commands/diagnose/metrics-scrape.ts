/** Scrapes agents for `vsockbox metrics`, and reports each change of a target once. */
import { scrapeAgent } from "../../agent/client/agent-scrape.ts";
import { toVsockboxError } from "../../errors.ts";
import type { AgentTarget } from "../shared/target.ts";
import { MAX_SERIES, SeriesLimit } from "./series-limit.ts";
import { scrapedText, targetLabels, type TargetScrape } from "./scraped-metrics.ts";

/** Receives warnings about targets. */
export type TargetWarning = (message: string, hint?: string) => void;

const NO_METRICS = "the agent is too old for metrics";

const TOO_MANY_SERIES = `it has sent more than ${MAX_SERIES} time series in a day: new ones are dropped`;

/** Agents that are scraped again and again. */
export class TargetScraper {
  readonly #targets: readonly AgentTarget[];
  readonly #timeoutMs: number;
  readonly #warn: TargetWarning;
  readonly #reported = new Map<AgentTarget, string>();
  readonly #series = new Map<AgentTarget, SeriesLimit>();

  /** @param warn is called when a problem of a target begins or changes. */
  constructor(targets: readonly AgentTarget[], timeoutMs: number, warn: TargetWarning) {
    this.#targets = targets;
    this.#timeoutMs = timeoutMs;
    this.#warn = warn;
  }

  /** Scrapes all targets at once; returns the text of the exposition. Never throws. */
  async scrape(): Promise<string> {
    return scrapedText(await Promise.all(this.#targets.map((target) => this.#scrape(target))));
  }

  async #scrape(target: AgentTarget): Promise<TargetScrape> {
    const begin = performance.now();
    const result = (
      found: Pick<TargetScrape, "isUp" | "metrics" | "dropped" | "clockOffsetSeconds">,
    ) => ({
      labels: targetLabels(target.name, target.address),
      durationSeconds: Math.round((performance.now() - begin) * 1000) / 1e6,
      ...found,
    });
    try {
      const answer = await scrapeAgent(target.address, target.options, this.#timeoutMs);
      const { metrics = [], clockOffsetSeconds } = answer;
      const limited = this.#seriesOf(target).apply(metrics, performance.now());
      const tooMany = limited.dropped > 0 ? TOO_MANY_SERIES : undefined;
      this.#report(target, answer.metrics === undefined ? NO_METRICS : tooMany);
      return result({ isUp: true, ...limited, clockOffsetSeconds });
    } catch (thrown) {
      const { message, hint } = toVsockboxError(thrown, "read metrics");
      this.#report(target, message, hint);
      return result({ isUp: false, metrics: [], dropped: 0, clockOffsetSeconds: undefined });
    }
  }

  #seriesOf(target: AgentTarget): SeriesLimit {
    const series = this.#series.get(target) ?? new SeriesLimit();
    this.#series.set(target, series);
    return series;
  }

  #report(target: AgentTarget, problem: string | undefined, hint?: string): void {
    const before = this.#reported.get(target);
    if (problem === before) return;
    if (problem === undefined) {
      this.#reported.delete(target);
      this.#warn(`${target.name}: the agent has metrics again`);
      return;
    }
    this.#reported.set(target, problem);
    this.#warn(`${target.name}: ${problem}`, hint);
  }
}
