/** What commands that run until a signal share: the background and the pid file. */
import {
  DEFAULT_READY_TIMEOUT_MS,
  isDaemonStart,
  reportFailure,
  startDaemon,
} from "../../process/service/daemon.ts";
import { PID_FILE_OPERATION, writePidFile } from "../../process/service/pid-file.ts";
import { say } from "../../ui/report.ts";
import { flag, option, type ArgumentValues } from "../../ui/argument.ts";
import { FILE } from "../../ui/value-kind.ts";
import { checkOutputFile } from "./output-file.ts";

/** The heading of options of a process in the background. */
const SERVICE = "Service options";

/** `--daemon`, `--pid-file` and `--log-file`. */
export const serviceArguments = {
  daemon: flag({ heading: SERVICE, summary: "Go into the background once it is ready" }),
  pidFile: option(FILE, { heading: SERVICE, summary: "Keep the process id in this file" }),
  logFile: option(FILE, {
    heading: SERVICE,
    defaultText: "standard error",
    summary: "Append the log to this file",
  }),
};

/**
 * Runs a service here, or with `--daemon` in the background.
 *
 * @param name the command's name, also if it was started under another one.
 * @param waitMs how much longer than others it may need until it is ready, in milliseconds.
 */
export async function runService(
  name: string,
  args: ArgumentValues<typeof serviceArguments>,
  serve: () => Promise<number>,
  waitMs = 0,
): Promise<number> {
  const { pidFile } = args;
  if (args.daemon && !isDaemonStart()) {
    if (pidFile !== undefined) checkOutputFile(pidFile, PID_FILE_OPERATION);
    return goIntoBackground(name, args.logFile, waitMs + DEFAULT_READY_TIMEOUT_MS);
  }
  try {
    // It is written when the service is ready, which is late for an error.
    if (pidFile !== undefined) checkOutputFile(pidFile, PID_FILE_OPERATION);
    return await serve();
  } catch (thrown) {
    reportFailure(thrown);
    throw thrown;
  }
}

/** Starts this very command line again, in the background. */
async function goIntoBackground(
  name: string,
  logFile: string | undefined,
  readyTimeoutMs: number,
): Promise<number> {
  const given = process.argv.slice(2);
  const words = given[0] === name ? given : [name, ...given];
  const started = await startDaemon(words, { logFile, readyTimeoutMs });
  if (started.kind === "ready") return 0;
  say(`vsockbox: ${started.message}`);
  if (started.hint !== undefined) say(`  hint: ${started.hint}`);
  return started.status;
}

/**
 * Writes the file of `--pid-file`, if there is that option, once the service listens.
 *
 * @param stop ends the service if that fails, so that no socket file of it is left.
 * @throws {VsockboxError} as `writePidFile`.
 */
export async function pidFileOf(
  args: Pick<ArgumentValues<typeof serviceArguments>, "pidFile">,
  stop: () => Promise<unknown>,
): Promise<Disposable | undefined> {
  const path = args.pidFile;
  try {
    return path === undefined ? undefined : writePidFile(path);
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}
