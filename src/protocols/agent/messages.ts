/**
 * The JSON payloads of the agent protocol, read strictly and written as Go's encoding/json does:
 * snake_case names, bytes as standard base64, empty fields left out or null.
 */
import { encodeBase64 } from "./base64.ts";
import {
  bad,
  field,
  type JsonObject,
  parseObject,
  readBytes,
  readEnvironment,
  readString,
  readStrings,
} from "./json-fields.ts";

/** Exec, ExecStream and ExecPipe. */
export interface ExecRequest {
  /** A shell line, or the program where `args` is not empty. */
  command: string;
  /** Arguments of `command`, run without a shell. Empty: `command` is a line for `sh -c`. */
  args: string[];
  /** Undefined: the agent's own directory. */
  workingDir: string | undefined;
  /** Added to the agent's environment. */
  env: Record<string, string>;
  /** Fed to the command's standard input. */
  stdin: Uint8Array;
  /** `uid`, `uid:gid` or a name; undefined: the agent's own user. */
  user: string | undefined;
}

/** ExecResult. */
export interface ExecResponse {
  exitCode: number;
  stdout: Uint8Array;
  stderr: Uint8Array;
  /** Why the command could not be run, or what was cut off. */
  error: string | undefined;
}

/**
 * Reads an ExecRequest.
 *
 * @throws {VsockboxError} BAD_DATA: no JSON, a field of a wrong type, a NUL, or no command.
 */
export function decodeExecRequest(payload: Uint8Array): ExecRequest {
  const what = "ExecRequest";
  const object = parseObject(what, payload);
  const command = readString(what, object, "command");
  if (command === undefined) throw bad(what, "the command is missing");
  return {
    command,
    args: readStrings(what, object, "args"),
    workingDir: readString(what, object, "working_dir"),
    env: readEnvironment(what, object),
    stdin: readBytes(what, object, "stdin"),
    user: readString(what, object, "user"),
  };
}

/** The request as JSON value, with empty fields left out. */
export function encodeExecRequest(request: ExecRequest): JsonObject {
  return {
    command: request.command,
    ...(request.args.length === 0 ? {} : { args: request.args }),
    ...(request.workingDir === undefined ? {} : { working_dir: request.workingDir }),
    ...(Object.keys(request.env).length === 0 ? {} : { env: request.env }),
    ...(request.stdin.length === 0 ? {} : { stdin: encodeBase64(request.stdin) }),
    ...(request.user === undefined ? {} : { user: request.user }),
  };
}

/**
 * Reads an ExecResult.
 *
 * @throws {VsockboxError} BAD_DATA.
 */
export function decodeExecResponse(payload: Uint8Array): ExecResponse {
  const what = "ExecResult";
  const object = parseObject(what, payload);
  const exitCode = field(object, "exit_code") ?? 0;
  if (typeof exitCode !== "number" || !Number.isInteger(exitCode)) {
    throw bad(what, "exit_code is no integer");
  }
  return {
    exitCode,
    stdout: readBytes(what, object, "stdout"),
    stderr: readBytes(what, object, "stderr"),
    error: readString(what, object, "error"),
  };
}

/** The response as JSON value, with empty fields left out. */
export function encodeExecResponse(response: ExecResponse): JsonObject {
  return {
    exit_code: response.exitCode,
    ...(response.stdout.length === 0 ? {} : { stdout: encodeBase64(response.stdout) }),
    ...(response.stderr.length === 0 ? {} : { stderr: encodeBase64(response.stderr) }),
    ...(response.error === undefined ? {} : { error: response.error }),
  };
}

/**
 * Reads Exit: a u32, big-endian. Go's -1 (killed by a signal) arrives as 4294967295.
 *
 * @throws {VsockboxError} BAD_DATA for another length than 4.
 */
export function decodeExit(payload: Uint8Array): number {
  if (payload.length !== 4) throw bad("Exit", `it has ${payload.length} bytes, not 4`);
  return new DataView(payload.buffer, payload.byteOffset).getUint32(0);
}

/** Highest signal number, SIGRTMAX on Linux. */
const SIGNAL_MAX = 64;

/**
 * Reads Signal: one byte.
 *
 * @throws {VsockboxError} BAD_DATA for another length, or a number that is no signal.
 */
export function decodeSignal(payload: Uint8Array): number {
  const signal = payload[0] ?? 0;
  if (payload.length !== 1 || signal < 1 || signal > SIGNAL_MAX) {
    throw bad("Signal", `it must be one byte from 1 to ${SIGNAL_MAX}`);
  }
  return signal;
}
