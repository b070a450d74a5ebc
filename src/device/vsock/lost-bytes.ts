/** Bytes of a guest that are dropped since their reader on the host is too slow: counted and logged. */
import type { DeviceStatistics } from "./statistics.ts";
import { countOf } from "../../text/count.ts";

/** Shortest interval between two log lines, which a guest may cause, in milliseconds. */
const LOG_INTERVAL_MS = 10_000;

/** The lost bytes of one VM. */
export class LostBytes {
  readonly #statistics: DeviceStatistics;
  readonly #warn: (message: string) => void;
  #unreported = 0;
  /** Time of the last line, by performance.now(). */
  #loggedAt = -Infinity;

  constructor(statistics: DeviceStatistics, warn: (message: string) => void) {
    this.#statistics = statistics;
    this.#warn = warn;
  }

  /** Counts lost bytes; logs them unless a line was logged a short time before. */
  add(bytes: number): void {
    this.#statistics.bytesLost += bytes;
    this.#unreported += bytes;
    if (performance.now() - this.#loggedAt > LOG_INTERVAL_MS) this.report();
  }

  /** Logs the bytes that were lost since the last line. */
  report(): void {
    if (this.#unreported === 0) return;
    const bytes = this.#unreported;
    this.#unreported = 0;
    this.#loggedAt = performance.now();
    this.#warn(
      `${countOf(bytes, "byte")} of the guest ${bytes === 1 ? "is" : "are"} lost: programs on the host have not read them in time`,
    );
  }
}
