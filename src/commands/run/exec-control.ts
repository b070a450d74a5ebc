/** What ends a remote command early: Ctrl-C and other signals, and the time limit. */
import type { RemoteProcess } from "../../agent/client/remote-process.ts";
import { VsockboxError } from "../../errors.ts";
import { signalNumber } from "../../process/exit-status.ts";
import { onEndingSignal, statusOfSignal, type EndingSignal } from "../../process/signals.ts";
import { say } from "../../ui/report.ts";

/** After SIGTERM, and again after SIGKILL, a command that ran out of time has this long, in ms. */
const TIMEOUT_GRACE_MS = 500;

/**
 * Hands signals on to the remote command. The first one of a kind is sent to it, the second drops
 * the connection, which makes the agent end the command.
 */
export class ExecControl implements Disposable {
  readonly #dialing = new AbortController();
  readonly #handler: Disposable;
  readonly #timers: Timer[] = [];
  #remote: RemoteProcess | undefined;
  #received = 0;
  /** Whether the time limit ended the command. */
  timedOut = false;
  /** The exit status of a command that was dropped because of a signal. */
  interruptStatus: number | undefined;

  constructor() {
    this.#handler = onEndingSignal((signal) => this.#onSignal(signal));
  }

  /** Fires when a signal comes while the connection is not there yet. */
  get signal(): AbortSignal {
    return this.#dialing.signal;
  }

  /** From here on signals go to the command, and its time runs. */
  attach(remote: RemoteProcess, timeoutMs: number | undefined): void {
    this.#remote = remote;
    if (this.#dialing.signal.aborted) this.#abort("interrupted");
    if (timeoutMs !== undefined) this.#after(timeoutMs, () => this.#onTimeout());
  }

  #onSignal(signal: EndingSignal): void {
    this.#received++;
    if (this.#remote?.hasBegun !== true || this.#received > 1) {
      this.interruptStatus = statusOfSignal(signal);
      this.#dialing.abort();
      this.#abort("interrupted");
      return;
    }
    if (process.stderr.isTTY) say(`vsockbox: ${signal} sent to the command; once more drops it`);
    this.#remote.signal(signalNumber(signal) ?? 15);
  }

  #onTimeout(): void {
    this.timedOut = true;
    const send = (signal: number) => this.#remote?.signal(signal);
    send(15);
    this.#after(TIMEOUT_GRACE_MS, () => {
      send(9);
      this.#after(TIMEOUT_GRACE_MS, () => this.#abort("out of time"));
    });
  }

  #after(milliseconds: number, action: () => void): void {
    this.#timers.push(setTimeout(action, milliseconds));
  }

  #abort(message: string): void {
    this.#remote?.leave(new VsockboxError({ code: "ABORTED", operation: "run command", message }));
  }

  [Symbol.dispose](): void {
    this.#handler[Symbol.dispose]();
    for (const timer of this.#timers) clearTimeout(timer);
  }
}
