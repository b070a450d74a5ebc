/** What the commands share that serve until they are ended: their log, and the background. */
import { closeSync } from "node:fs";
import { type ConsolaInstance, type ConsolaReporter, createConsola } from "consola/basic";
import { reasonOf } from "../../errors.ts";
import { isDaemonStart, reportFailure, startDaemon } from "../../process/service/daemon.ts";
import { printable } from "../../text/printable.ts";
import { LogFile, openLogFile } from "../../process/service/log-file.ts";
import { writePidFile } from "../../process/service/pid-file.ts";
import { say } from "../../ui/report.ts";
import { flag, option, type ArgumentValues } from "../../ui/argument.ts";
import { FILE } from "../../ui/value-kind.ts";

/** The heading of options of a process in the background. */
const SERVICE = "Service options";

/** `--daemon`, `--pid-file` and `--log-file`. */
export const serviceArguments = {
  daemon: flag({ heading: SERVICE, summary: "Go into the background once it listens" }),
  pidFile: option(FILE, { heading: SERVICE, summary: "Keep the process id in this file" }),
  logFile: option(FILE, {
    heading: SERVICE,
    defaultText: "standard error",
    summary: "Append the log to this file",
  }),
};

/**
 * The log of a service.
 *
 * @param path undefined: standard error.
 * @param level as consola has them: 0 errors, 3 the usual, 4 everything.
 * @throws {VsockboxError} as `openLogFile`: later failures lose lines, and end nothing.
 */
export function serviceLog(tag: string, path: string | undefined, level: number): ConsolaInstance {
  if (path === undefined) {
    const streams = { stdout: process.stderr, stderr: process.stderr };
    const log = createConsola({ level, ...streams });
    log.setReporters(log.options.reporters.map(printableOnly));
    return log.withTag(tag);
  }
  closeSync(openLogFile(path));
  const file = new LogFile(path);
  const write = (entry: { type: string; args: unknown[] }) => {
    file.write(
      `${entry.type}: ${printable(entry.args.map((part) => reasonOf(part).message).join(" "))}`,
    );
  };
  return createConsola({ level, reporters: [{ log: write }] });
}

/** An entry is one line, whatever a peer has put into it. */
function printableOnly(reporter: ConsolaReporter): ConsolaReporter {
  return {
    log: (entry, context) => {
      const args = entry.args.map((part: unknown) => printable(reasonOf(part).message));
      reporter.log({ ...entry, args }, context);
    },
  };
}

/**
 * Runs a service here, or with `--daemon` in the background.
 *
 * @param name the command's name, also where it was started under another one.
 */
export async function runService(
  name: string,
  args: ArgumentValues<typeof serviceArguments>,
  serve: () => Promise<number>,
): Promise<number> {
  if (args.daemon && !isDaemonStart()) {
    return goIntoBackground(name, args.logFile);
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
