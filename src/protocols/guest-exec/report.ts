/**
 * The extension `--report`: after each command the guest writes one JSON line on the same socket,
 * `{"exit_code":0,"signal":null,"stdout":"base64","stderr":"base64","duration_ms":12}`.
 */
import { encodeBase64 } from "../agent/base64.ts";
import { badField, field, parseObject, readBytes, integerField } from "../agent/json-fields.ts";

/** Output that a report carries of each stream, in bytes: what goes beyond it is cut off. */
export const REPORT_OUTPUT_MAX_BYTES = 4 * 1024 * 1024;

/** Bytes that are reserved for the other fields and their names. */
const REPORT_FIELDS_MAX_BYTES = 1024;

/** Longest line that a host accepts, in bytes, newline included: two streams in base64. */
export const REPORT_LINE_MAX_BYTES =
  2 * 4 * Math.ceil(REPORT_OUTPUT_MAX_BYTES / 3) + REPORT_FIELDS_MAX_BYTES;

/**
 * What a guest sends when it has connected: a blank, which a JSON reader skips before the first
 * report. A host learns from it that reports will come, and waits for them without a deadline.
 */
export const REPORT_ANNOUNCEMENT: Uint8Array = Uint8Array.of(0x20);

/** Longest name of a signal that is believed. */
const SIGNAL_NAME = /^SIG[A-Z0-9+-]{1,16}$/;

const NEWLINE = 0x0a;

const WHAT = "report";

/** What became of one command. */
export interface Report {
  /** The command's own status, or 128 + N for signal N; 124 after a timeout. */
  exitCode: number;
  /** The signal's name, such as SIGKILL, if one ended it. */
  signal: string | undefined;
  stdout: Uint8Array;
  stderr: Uint8Array;
  durationMs: number;
  /** Bytes of output beyond {@link REPORT_OUTPUT_MAX_BYTES} that are not in the report. */
  droppedBytes: number;
}

/** The report as a line, newline included. */
export function encodeReport(report: Report): Uint8Array {
  const { exitCode, signal, stdout, stderr, durationMs, droppedBytes } = report;
  const line = JSON.stringify({
    exit_code: exitCode,
    signal: signal ?? null,
    stdout: encodeBase64(stdout),
    stderr: encodeBase64(stderr),
    duration_ms: Math.round(durationMs),
    ...(droppedBytes === 0 ? {} : { dropped_bytes: droppedBytes }),
  });
  return new TextEncoder().encode(`${line}\n`);
}

/**
 * Reads a line without its newline. Fields that are not known are passed over.
 *
 * @throws {VsockboxError} BAD_DATA, naming the field that is wrong.
 */
export function decodeReport(line: Uint8Array): Report {
  const object = parseObject(WHAT, line);
  const signal = field(object, "signal");
  if (signal !== undefined && (typeof signal !== "string" || !SIGNAL_NAME.test(signal))) {
    throw badField(WHAT, "signal is not the name of a signal");
  }
  const exitCode = integerField(WHAT, object, "exit_code", 255);
  if (exitCode === undefined) throw badField(WHAT, "exit_code is missing");
  return {
    exitCode,
    signal,
    stdout: readBytes(WHAT, object, "stdout"),
    stderr: readBytes(WHAT, object, "stderr"),
    durationMs: integerField(WHAT, object, "duration_ms", Number.MAX_SAFE_INTEGER) ?? 0,
    droppedBytes: integerField(WHAT, object, "dropped_bytes", Number.MAX_SAFE_INTEGER) ?? 0,
  };
}

/** Initial buffer of a line, in bytes; it doubles as the line grows. */
const FIRST_LINE_BYTES = 4096;

/**
 * Splits the bytes of a guest into reports. It holds one line at most, copied: many small chunks use no
 * more than their bytes.
 */
export class ReportReader {
  #line = new Uint8Array(FIRST_LINE_BYTES);
  #filled = 0;
  #hasBegun = false;

  /**
   * Reads the next chunk and returns the reports that it completes.
   *
   * @throws {VsockboxError} BAD_DATA for a line that is too long or no report; the reader is of no
   * use after.
   */
  *push(chunk: Uint8Array): Generator<Report, void, undefined> {
    let rest = chunk;
    if (!this.#hasBegun && rest.length > 0) {
      this.#hasBegun = true;
      if (rest[0] === REPORT_ANNOUNCEMENT[0]) rest = rest.subarray(1);
    }
    while (rest.length > 0) {
      const newline = rest.indexOf(NEWLINE);
      this.#append(rest.subarray(0, newline === -1 ? rest.length : newline));
      if (newline === -1) return;
      rest = rest.subarray(newline + 1);
      const line = this.#line.subarray(0, this.#filled);
      this.#filled = 0;
      const report = decodeReport(line);
      // The buffer of a long line is not kept for short ones.
      this.#line = new Uint8Array(FIRST_LINE_BYTES);
      yield report;
    }
  }

  /**
   * Reports the end of input.
   *
   * @throws {VsockboxError} BAD_DATA if a line is incomplete.
   */
  finish(): void {
    if (this.#filled === 0) return;
    throw badField(WHAT, `the guest closed inside a line, after ${this.#filled} bytes of it`);
  }

  #append(piece: Uint8Array): void {
    const bytes = this.#filled + piece.length;
    // The newline counts as well.
    if (bytes >= REPORT_LINE_MAX_BYTES) {
      throw badField(WHAT, `a line of more than ${REPORT_LINE_MAX_BYTES} bytes`);
    }
    if (bytes > this.#line.length) {
      const larger = new Uint8Array(Math.max(bytes, this.#line.length * 2));
      larger.set(this.#line.subarray(0, this.#filled));
      this.#line = larger;
    }
    this.#line.set(piece, this.#filled);
    this.#filled = bytes;
  }
}
