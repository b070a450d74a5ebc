/** Signals to guest-exec: passed on to the command that runs, or the end of the wait for one. */
import type { ProcessGroup } from "../process/process-group.ts";
import { signalNumber } from "../process/exit-status.ts";
import { onEndingSignal, statusOfSignal, type EndingSignal } from "../process/signals.ts";

/** Handles SIGINT, SIGTERM and SIGHUP until disposed. */
export class RunSignals implements Disposable {
  readonly #waiting = new AbortController();
  readonly #handler = onEndingSignal((signal) => this.#onSignal(signal));
  #group: ProcessGroup | undefined;
  #endWait: (() => void) | undefined;
  /** 128 + N once signal N has come. */
  status: number | undefined;

  /** Fires when a signal comes while no connection is there. */
  get signal(): AbortSignal {
    return this.#waiting.signal;
  }

  /** What ends the wait for the next command. */
  onWaiting(endWait: () => void): void {
    this.#endWait = endWait;
    if (this.status !== undefined) endWait();
  }

  /** From here on signals go to this command, until it ends; the second one ends its whole group. */
  readonly onStarted = (group: ProcessGroup): void => {
    this.#group = group;
    void group.exited.then(() => {
      if (this.#group === group) this.#group = undefined;
    });
  };

  #onSignal(signal: EndingSignal): void {
    const again = this.status !== undefined;
    this.status = statusOfSignal(signal);
    if (this.#group === undefined) {
      this.#waiting.abort();
      this.#endWait?.();
    } else if (again) {
      void this.#group.terminateGroup(0);
    } else {
      this.#group.signalGroup(signalNumber(signal) ?? 15);
    }
  }

  [Symbol.dispose](): void {
    this.#handler[Symbol.dispose]();
  }
}
