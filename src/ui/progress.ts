/** How far a transfer is, on one line of the terminal. */
import { formatBytes, formatClock } from "../text/units.ts";
import { StatusLine } from "./status-line.ts";

/** Interval at which the line is drawn while nothing is transferred, to show the stall. */
const IDLE_INTERVAL_MS = 500;

/** The rate is that of the last seconds, not of the whole transfer. */
const RATE_WINDOW_MS = 3000;

/** A progress line: what, how much, how fast, how long still. */
export class ProgressLine implements Disposable {
  readonly #line: StatusLine;
  readonly #samples: { at: number; bytes: number }[] = [{ at: performance.now(), bytes: 0 }];
  #totalBytes: number | undefined;
  #state = { what: "", files: 0, bytes: 0 };
  #idle: Timer | undefined;

  constructor(wanted: boolean) {
    this.#line = new StatusLine(wanted);
  }

  /** Whether anything is shown. */
  get isEnabled(): boolean {
    return this.#line.isEnabled;
  }

  /** Sets the total number of bytes; undefined if it is unknown. */
  set totalBytes(bytes: number | undefined) {
    this.#totalBytes = bytes;
  }

  /** Shows the present state. */
  update(what: string, { files, bytes }: { files: number; bytes: number }): void {
    if (!this.isEnabled) return;
    this.#state = { what, files, bytes };
    this.#idle ??= setInterval(() => this.#draw(), IDLE_INTERVAL_MS);
    this.#draw();
  }

  #draw(): void {
    const { what, files, bytes } = this.#state;
    const now = performance.now();
    const last = this.#samples.at(-1);
    if (last === undefined || now - last.at > 100) this.#samples.push({ at: now, bytes });
    while ((this.#samples[1]?.at ?? now) < now - RATE_WINDOW_MS) this.#samples.shift();
    const first = this.#samples[0];
    const seconds = (now - (first?.at ?? now)) / 1000;
    const rate = seconds > 0 ? (bytes - (first?.bytes ?? 0)) / seconds : 0;
    const total = this.#totalBytes;
    const parts = [
      what,
      total === undefined || total === 0 ? "" : `${Math.floor((bytes / total) * 100)} %`,
      total === undefined ? formatBytes(bytes) : `${formatBytes(bytes)} of ${formatBytes(total)}`,
      files > 1 ? `${files} files` : "",
      `${formatBytes(Math.round(rate))}/s`,
      total === undefined || rate <= 0 ? "" : `ETA ${formatClock((total - bytes) / rate)}`,
    ];
    this.#line.show(parts.filter((part) => part !== "").join("  "));
  }

  [Symbol.dispose](): void {
    clearInterval(this.#idle);
    this.#line[Symbol.dispose]();
  }
}
