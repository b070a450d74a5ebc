/** Additional tasks of the agent as a guest's init (process 1). */
import {
  type RunningAgent,
  type AgentOptions,
  startAgent,
} from "../../agent/server/agent-server.ts";
import type { Log } from "../../process/service/log.ts";
import { commandLineError, reasonOf } from "../../errors.ts";
import { bringUpLoopback } from "../../ffi/loopback.ts";
import { backoffDelay, type Backoff } from "../../io/deadline.ts";
import { mountInitFilesystems } from "../../process/init/mounts.ts";
import { endMachine, type MachineEnd } from "../../process/init/power.ts";
import { type Reaper, startReaper } from "../../process/init/reaper.ts";
import { ignoreStraySignals } from "../../process/service/stray-signals.ts";

/** Signals that request a shutdown: those of busybox, and the kernel's Ctrl-Alt-Del. */
const SIGNAL_ENDS: readonly (readonly [NodeJS.Signals, MachineEnd])[] = [
  ["SIGUSR1", "halt"],
  ["SIGUSR2", "poweroff"],
  ["SIGINT", "reboot"],
];

/** Pauses between tries to listen: without an agent an init is of no use, but it must not end. */
const START_BACKOFF: Backoff = { firstMs: 200, factor: 1.5, maxMs: 5000 };

/** Makes the missing mounts, and logs them. */
export function mountAndReport(log: Log): void {
  const { mounted, warnings } = mountInitFilesystems();
  if (mounted.length > 0) log.info(`mounted ${mounted.join(", ")}`);
  for (const warning of warnings) log.warn(warning);
}

/** Mounts, reaps orphans, and finally powers off. */
export class InitDuties implements Disposable {
  readonly #log: Log;
  readonly #reaper: Reaper;
  readonly #ended = Promise.withResolvers<string>();
  #action: MachineEnd = "poweroff";

  /**
   * Begins to act as init.
   *
   * @param command the name of process 1, in errors.
   * @throws {VsockboxError} USAGE if this is not process 1.
   */
  constructor(log: Log, command = "agent --init") {
    if (process.pid !== 1) {
      throw commandLineError(
        command,
        `it is for process 1, and this is process ${process.pid}`,
        "name it on the kernel's command line: init=/usr/bin/vsockbox -- agent --init",
      );
    }
    this.#log = log;
    // The end of process 1 is the end of the kernel: whatever is wrong, it goes on.
    for (const event of ["uncaughtException", "unhandledRejection"] as const) {
      process.on(event, (thrown: unknown) => log.warn(`${event}: ${reasonOf(thrown).message}`));
    }
    mountAndReport(log);
    try {
      bringUpLoopback();
    } catch (thrown) {
      log.warn(reasonOf(thrown).message);
    }
    this.#reaper = startReaper();
    for (const [signal, action] of SIGNAL_ENDS) {
      process.on(signal, () => this.requestEnd(action));
    }
    process.on("SIGHUP", () => log.info("SIGHUP: ignored"));
    // After /proc is mounted, which lists the signals that have a handler.
    ignoreStraySignals();
  }

  /** Resolves with the reason when a shutdown is requested. */
  get ended(): Promise<string> {
    return this.#ended.promise;
  }

  /** Requests a shutdown. */
  requestEnd(action: MachineEnd): void {
    this.#action = action;
    // The answer to the request is sent first.
    setTimeout(() => this.#ended.resolve(action), 50);
  }

  /** Starts the agent, and retries while it cannot listen yet. */
  async untilStarted(options: AgentOptions): Promise<RunningAgent> {
    for (let attempt = 0; ; attempt++) {
      try {
        return startAgent(options);
      } catch (thrown) {
        if (attempt % 10 === 0) this.#log.warn(`${reasonOf(thrown).message}; trying again`);
        await Bun.sleep(backoffDelay(START_BACKOFF, attempt));
      }
    }
  }

  /** Powers off or reboots. Does not return if the kernel can do it. */
  async end(): Promise<void> {
    await endMachine(this.#action, { warn: (message) => this.#log.warn(message) });
  }

  [Symbol.dispose](): void {
    this.#reaper[Symbol.dispose]();
  }
}
