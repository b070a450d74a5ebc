/** What commands that run until a signal share: the background and the pid file. */
import { isDaemonStart, reportFailure, startDaemon } from "../../process/service/daemon.ts";
import { writePidFile } from "../../process/service/pid-file.ts";
import type { Arguments } from "../../ui/command.ts";
import { say } from "../../ui/report.ts";

/**
 * Runs a service here, or with `--daemon` in the background.
 *
 * @param name the command's name, also where it was started under another one.
 */
export async function runService(
  name: string,
  args: Arguments,
  serve: () => Promise<number>,
): Promise<number> {
  if (args.flag("daemon") && !isDaemonStart()) {
    return goIntoBackground(name, args.string("log-file"));
  }
  try {
    return await serve();
  } catch (thrown) {
    reportFailure(thrown);
    throw thrown;
  }
}

/** Starts this very command line again, in the background. */
async function goIntoBackground(name: string, logFile: string | undefined): Promise<number> {
  const given = process.argv.slice(2);
  const words = given[0] === name ? given : [name, ...given];
  const started = await startDaemon(words, { logFile });
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
  args: Arguments,
  stop: () => Promise<unknown>,
): Promise<Disposable | undefined> {
  const path = args.string("pid-file");
  try {
    return path === undefined ? undefined : writePidFile(path);
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}
