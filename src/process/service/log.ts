/**
 * The log of long-running commands: the agent, its init, servers, forwards and the device.
 *
 * A line on standard error is `vsockbox: [warning: ][TAG: ]MESSAGE`; in a log file it is
 * `TIME LEVEL: MESSAGE`, with the time in RFC 3339. An entry is one line: control characters, which a
 * peer may have chosen, are escaped. consola filters by level; the two reporters of this file write.
 *
 * Logging never blocks and never throws. A pipe that is full loses lines, which the next line that fits
 * reports by their number: peers cause log lines, and one that causes many must not stop the others.
 */
import { closeSync, writeSync } from "node:fs";
import { type ConsolaReporter, createConsola, LogLevels, type LogObject } from "consola/core";
import { pollDescriptor, POLLOUT } from "../../ffi/socket.ts";
import { printable } from "../../text/printable.ts";
import { LogFile, openLogFile } from "./log-file.ts";

/** Receives one call for each event. */
export interface Log {
  debug(message: string): void;
  info(message: string): void;
  /** Logs what is wrong but ends nothing, with a hint for the user on a line of its own. */
  warn(message: string, hint?: string): void;
}

/** The lowest level that is logged. */
export type LogThreshold = "silent" | "error" | "warn" | "info" | "debug";

/** Options of {@link openLog}. */
export interface LogOptions {
  /** Shown before each message on standard error, such as `agent`. */
  tag?: string;
  /** A file to append to, in place of standard error. */
  path?: string | undefined;
  /** (default: info) */
  threshold?: LogThreshold;
  /** Shows a line, in place of standard error: a prompt has to be drawn again after it. */
  show?: ((line: string) => void) | undefined;
}

/**
 * Opens a log.
 *
 * @throws {VsockboxError} as `openLogFile`: later failures lose lines, and end nothing.
 */
export function openLog({ tag, path, threshold = "info", show }: LogOptions = {}): Log {
  const reporter = path === undefined ? lines(tag, show ?? writeLine) : logFile(path);
  // Equal lines in quick succession are all of them events: consola would summarize them.
  const options = { level: LogLevels[threshold], reporters: [reporter], throttle: 0 };
  const log = createConsola(options);
  return {
    debug: (message) => log.debug(message),
    info: (message) => log.info(message),
    warn: (message, hint) => log.warn(message, ...(hint === undefined ? [] : [hint])),
  };
}

const STANDARD_ERROR = 2;

/**
 * Longest line on standard error, in UTF-16 units of at most three bytes each. A pipe that is ready
 * accepts PIPE_BUF, 4096 bytes, without blocking: pipe(7).
 */
export const MAX_LOG_LINE = 1000;

/** Log lines that a descriptor had no free space for. */
let dropped = 0;

function lines(tag: string | undefined, show: (line: string) => void): ConsolaReporter {
  return {
    log(entry) {
      const [message, hint] = entry.args.map(String);
      show(`vsockbox: ${prefixOf(entry)}${tag === undefined ? "" : `${tag}: `}${message}`);
      if (hint !== undefined) show(`  hint: ${hint}`);
    },
  };
}

function prefixOf({ type }: LogObject): string {
  return type === "warn" ? "warning: " : "";
}

function logFile(path: string): ConsolaReporter {
  closeSync(openLogFile(path));
  const file = new LogFile(path);
  return {
    log({ type, args, date }) {
      const [message, hint] = args.map(String);
      const ending = hint === undefined ? "" : ` (${hint})`;
      file.write(`${type}: ${printable(`${message}${ending}`)}`, date);
    },
  };
}

/** Writes a line to standard error, unless that would block. */
function writeLine(line: string): void {
  if (
    dropped > 0 &&
    tryWrite(`vsockbox: warning: ${dropped} log lines were dropped: nothing read standard error`)
  ) {
    dropped = 0;
  }
  if (!tryWrite(line)) dropped++;
}

function tryWrite(line: string): boolean {
  if (pollDescriptor(STANDARD_ERROR, POLLOUT, 0) === 0) return false;
  const text = printable(line, { maxCharacters: MAX_LOG_LINE, keepsTabs: true });
  try {
    writeSync(STANDARD_ERROR, `${text}\n`);
    return true;
  } catch {
    // Closed, or without free space: another process has made it non-blocking.
    return false;
  }
}
