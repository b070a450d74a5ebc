/** Checks that say what was seen, and the replies of each mode taken apart. */
import { isDeepStrictEqual } from "node:util";
import { describeFrames, Failure, type RawFrame, Type, textOf, typeName } from "./wire.ts";

/** Fails unless `seen` is `wanted`, however deep. */
export function same(what: string, seen: unknown, wanted: unknown): void {
  if (isDeepStrictEqual(seen, wanted)) return;
  throw new Failure(`${what}: ${show(seen)} instead of ${show(wanted)}`);
}

/** Fails unless the condition holds. */
export function holds(condition: boolean, otherwise: string): void {
  if (!condition) throw new Failure(otherwise);
}

function show(value: unknown): string {
  const text = Buffer.isBuffer(value) ? value.toString("latin1") : (JSON.stringify(value) ?? "");
  return text.length > 200 ? `${text.slice(0, 200)}… (${text.length} characters)` : text;
}

type JsonObject = Record<string, unknown>;

/** A payload as JSON object. */
function parse(frame: RawFrame): JsonObject {
  try {
    const value: unknown = JSON.parse(frame.payload.toString());
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return value as JsonObject;
    }
  } catch {
    // Said below.
  }
  throw new Failure(`no JSON object: ${describeFrames([frame])}`);
}

/** The only frame, which must be of the given type. */
function only(frames: readonly RawFrame[], type: number): RawFrame {
  const [first] = frames;
  if (first === undefined || frames.length !== 1 || first.type !== type) {
    throw new Failure(`expected one ${typeName(type)} and a close, saw ${describeFrames(frames)}`);
  }
  return first;
}

/** Base64 with padding, or what Go writes for no bytes. */
function byteField(object: JsonObject, name: string): Buffer {
  const value = object[name] ?? "";
  if (typeof value !== "string") throw new Failure(`${name} is no base64 but ${show(value)}`);
  const bytes = Buffer.from(value, "base64");
  same(`${name} as standard base64`, value, bytes.toString("base64"));
  return bytes;
}

function textField(object: JsonObject, name: string): string {
  const value = object[name] ?? "";
  if (typeof value !== "string") throw new Failure(`${name} is no string but ${show(value)}`);
  return value;
}

/** ExecResult with empty, null and left-out fields made the same. */
export interface ExecResult {
  exitCode: number;
  stdout: Buffer;
  stderr: Buffer;
  error: string;
}

/** The one ExecResult of an Exec. */
export function execResult(frames: readonly RawFrame[]): ExecResult {
  return readResult(only(frames, Type.ExecResult));
}

function readResult(frame: RawFrame): ExecResult {
  const object = parse(frame);
  const exitCode = object["exit_code"];
  if (typeof exitCode !== "number") throw new Failure(`exit_code is ${show(exitCode)}`);
  return {
    exitCode,
    stdout: byteField(object, "stdout"),
    stderr: byteField(object, "stderr"),
    error: textField(object, "error"),
  };
}

/** What a session with output frames gave. */
export interface SessionEnd {
  stdout: string;
  stderr: string;
  exitCode: number;
  error: string;
}

/** Output frames and an ExecResult behind them, as ExecStream has it. */
export function streamEnd(frames: readonly RawFrame[]): SessionEnd {
  const last = lastOf(frames, Type.ExecResult);
  const result = readResult(last);
  same(
    "output in the ExecResult of a stream",
    [result.stdout.length, result.stderr.length],
    [0, 0],
  );
  return { ...outputOf(frames), exitCode: result.exitCode, error: result.error };
}

/** Output frames and an Exit behind them, as ExecPipe and ExecTTY have it. */
export function exitEnd(frames: readonly RawFrame[]): SessionEnd {
  const { payload } = lastOf(frames, Type.Exit);
  same("length of Exit", payload.length, 4);
  return { ...outputOf(frames), exitCode: payload.readInt32BE(0), error: "" };
}

function lastOf(frames: readonly RawFrame[], type: number): RawFrame {
  const last = frames.at(-1);
  const before = frames.slice(0, -1);
  const isOutput = (frame: RawFrame) => frame.type === Type.Stdout || frame.type === Type.Stderr;
  if (last?.type === type && before.every(isOutput)) return last;
  throw new Failure(`expected output and then ${typeName(type)}, saw ${describeFrames(frames)}`);
}

function outputOf(frames: readonly RawFrame[]) {
  return { stdout: textOf(frames, Type.Stdout), stderr: textOf(frames, Type.Stderr) };
}

/** Go says -1 for a command that a signal ended, a shell 128 and the signal's number. */
export function endedBySignal(exitCode: number, signal: number): void {
  holds(
    exitCode === -1 || exitCode === 128 + signal,
    `exit code ${exitCode} instead of -1 or ${128 + signal}`,
  );
}

/** An entry of ListFiles. */
export interface FileEntry {
  name: string;
  size: number;
  mode: number;
  isDir: boolean;
}

/** FileResult with empty, null and left-out fields made the same. */
export interface FileResult {
  content: Buffer;
  files: FileEntry[];
  error: string;
}

/** The one FileResult of a file request. */
export function fileResult(frames: readonly RawFrame[]): FileResult {
  const object = parse(only(frames, Type.FileResult));
  const files = object["files"] ?? [];
  if (!Array.isArray(files)) throw new Failure(`files is ${show(files)}`);
  return {
    content: byteField(object, "content"),
    files: files.map((entry: JsonObject) => {
      const { name, size, mode, is_dir: isDir } = entry;
      if (
        typeof name !== "string" ||
        typeof size !== "number" ||
        typeof mode !== "number" ||
        typeof isDir !== "boolean"
      ) {
        throw new Failure(`an entry without name, size, mode and is_dir: ${show(entry)}`);
      }
      return { name, size, mode, isDir };
    }),
    error: textField(object, "error"),
  };
}

/** Nothing but a close, or a close behind words in Stderr frames. */
export function closedWithoutAnswer(frames: readonly RawFrame[]): void {
  holds(
    frames.every(({ type }) => type === Type.Stderr),
    `expected a close, saw ${describeFrames(frames)}`,
  );
}

/** A reason in a Stderr frame, and nothing else. */
export function onlyReason(frames: readonly RawFrame[]): void {
  closedWithoutAnswer(frames);
  holds(textOf(frames, Type.Stderr).trim() !== "", "there is no Stderr frame with the reason");
}

/** The error that a mode's own reply frames carry, whatever the mode. */
export function refusalIn(mode: number, frames: readonly RawFrame[]): void {
  switch (mode) {
    case Type.Exec:
    case Type.ExecStream: {
      const result = execResult(frames);
      holds(result.exitCode !== 0, "exit_code is 0");
      return holds(result.error !== "", "there is no error in the ExecResult");
    }
    case Type.ExecPipe:
    case Type.ExecTTY: {
      const { exitCode, stdout, stderr } = exitEnd(frames);
      holds(exitCode !== 0, "the exit code is 0");
      return holds(`${stdout}${stderr}`.trim() !== "", "there is no reason before Exit");
    }
    case Type.PortForward:
      return onlyReason(frames);
    default:
      return holds(fileResult(frames).error !== "", "there is no error in the FileResult");
  }
}
