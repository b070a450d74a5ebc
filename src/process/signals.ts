/** Signals that end a command, handled for as long as something has to be cleaned up. */
import { constants } from "node:os";
import { SIGNAL_STATUS_BASE, signalNumber } from "./exit-status.ts";
import { hasSignal, ownSignalMask } from "./signal-masks.ts";

/** What a user or a service manager sends to end a program. */
const ENDING_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Signals that end a service; SIGQUIT (Ctrl-\) too, so that its commands are ended with it. */
export const SERVICE_ENDING_SIGNALS = [...ENDING_SIGNALS, "SIGQUIT"] as const;

/** Signals that end the agent as process 1. SIGHUP does not power a VM off. */
export const INIT_ENDING_SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** What ends a client whose terminal is raw: every other signal that ends a program as well. */
export const TERMINAL_ENDING_SIGNALS = [
  ...SERVICE_ENDING_SIGNALS,
  "SIGUSR1",
  "SIGUSR2",
  "SIGALRM",
  "SIGVTALRM",
  "SIGPROF",
  "SIGXCPU",
] as const;

/** One of {@link TERMINAL_ENDING_SIGNALS}. */
export type EndingSignal = (typeof TERMINAL_ENDING_SIGNALS)[number];

/** After the second ending signal a client has this long to end by itself, in milliseconds. */
const LAST_GRACE_MS = 1000;

let endingSignals = 0;
let isServer = false;
let defaultSignals: readonly EndingSignal[] = ENDING_SIGNALS;
let startedWithNohup: boolean | undefined;

/** Makes this process a server, which ends in its own time however many ending signals come. */
export function surviveEndingSignals(): void {
  isServer = true;
}

/** Has SIGQUIT end this process with its cleanup, as {@link ENDING_SIGNALS} do. */
export function endOnQuit(): void {
  defaultSignals = SERVICE_ENDING_SIGNALS;
}

/** Returns whether SIGHUP was ignored when this process started, as nohup(1) has it. */
export function ignoresHangUp(): boolean {
  startedWithNohup ??= hasSignal(ownSignalMask("SigIgn") ?? 0n, constants.signals.SIGHUP);
  return startedWithNohup;
}

/** Ends a client that the second signal has not ended, whatever it waits for. */
function countSignal(signal: EndingSignal): void {
  if (isServer || ++endingSignals !== 2) return;
  // Exit handlers restore the terminal.
  setTimeout(() => process.exit(statusOfSignal(signal)), LAST_GRACE_MS).unref();
}

/**
 * Calls `handler` for each ending signal instead of dying of it, until disposed. The second signal ends
 * the process soon after, unless {@link surviveEndingSignals} was called. SIGHUP stays ignored in a
 * process that was started that way.
 *
 * @param signals by default {@link ENDING_SIGNALS}, after {@link endOnQuit} also SIGQUIT.
 *
 * @example
 * using _ = onEndingSignal((signal) => server.stop());
 */
export function onEndingSignal(
  handler: (signal: EndingSignal) => void,
  signals: readonly EndingSignal[] = defaultSignals,
): Disposable {
  const handled = signals.filter((signal) => signal !== "SIGHUP" || !ignoresHangUp());
  const installed = handled.map((signal) => {
    const listener = () => {
      countSignal(signal);
      handler(signal);
    };
    process.on(signal, listener);
    return { signal, listener };
  });
  return {
    [Symbol.dispose]() {
      for (const { signal, listener } of installed) process.off(signal, listener);
    },
  };
}

/** Calls `handler` for each SIGUSR1, which would end the program otherwise, until disposed. */
export function onUserSignal(handler: () => void): Disposable {
  process.on("SIGUSR1", handler);
  return { [Symbol.dispose]: () => void process.off("SIGUSR1", handler) };
}

/** The exit status of a program that ends because of a signal: 128 + N. */
export function statusOfSignal(signal: EndingSignal): number {
  return SIGNAL_STATUS_BASE + (signalNumber(signal) ?? 0);
}
