/**
 * The JSON payloads of the agent protocol, read strictly and written as Go's encoding/json does:
 * snake_case names, bytes as standard base64, empty fields left out or null.
 */
import { encodeBase64 } from "./base64.ts";
import {
  badField,
  field,
  type JsonObject,
  parseObject,
  readBytes,
  integerField,
  readEnvironment,
  readString,
  readStrings,
} from "./json-fields.ts";

/** What all requests to run a command have. */
export interface CommandRequest {
  /** A shell line, or the program if `args` is not empty. */
  command: string;
  /** Arguments of `command`, run without a shell. Empty: `command` is a line for `sh -c`. */
  args: string[];
  /** Undefined: the agent's own directory. */
  workingDir: string | undefined;
  /** Added to the agent's environment. */
  env: Record<string, string>;
  /** `uid`, `uid:gid` or a name; undefined: the agent's own user. */
  user: string | undefined;
  /** Confinement in addition to the agent's own; sent only after a Hello. */
  sandbox?: readonly string[] | undefined;
}

/** Exec, ExecStream and ExecPipe. */
export interface ExecRequest extends CommandRequest {
  /** Fed to the command's standard input. */
  stdin: Uint8Array;
}

/** A terminal's size in characters. */
export interface TerminalSize {
  rows: number;
  cols: number;
}

/** ExecTTY. */
export interface ExecTTYRequest extends CommandRequest {
  size: TerminalSize;
}

/** ExecResult. */
export interface ExecResponse {
  exitCode: number;
  stdout: Uint8Array;
  stderr: Uint8Array;
  /** Why the command could not be run, or which output was truncated. */
  error: string | undefined;
}

/** Reads the fields that all requests to run a command have. */
export function decodeCommandFields(what: string, object: JsonObject): CommandRequest {
  const command = readString(what, object, "command");
  if (command === undefined) throw badField(what, "the command is missing");
  return {
    command,
    args: readStrings(what, object, "args"),
    workingDir: readString(what, object, "working_dir"),
    env: readEnvironment(what, object),
    user: readString(what, object, "user"),
    sandbox: sandboxOf(what, object),
  };
}

function sandboxOf(what: string, object: JsonObject): string[] | undefined {
  const options = readStrings(what, object, "sandbox");
  return options.length === 0 ? undefined : options;
}

/** The fields of a request to run a command, with empty ones left out. */
export function encodeCommandFields(request: CommandRequest): JsonObject {
  return {
    command: request.command,
    ...(request.args.length === 0 ? {} : { args: request.args }),
    ...(request.workingDir === undefined ? {} : { working_dir: request.workingDir }),
    ...(Object.keys(request.env).length === 0 ? {} : { env: request.env }),
    ...(request.user === undefined ? {} : { user: request.user }),
    ...(request.sandbox === undefined ? {} : { sandbox: request.sandbox }),
  };
}

/**
 * Reads an ExecRequest.
 *
 * @throws {VsockboxError} BAD_DATA: not JSON, a field of a wrong type, a NUL, or no command.
 */
export function decodeExecRequest(payload: Uint8Array): ExecRequest {
  const what = "ExecRequest";
  const object = parseObject(what, payload);
  return { ...decodeCommandFields(what, object), stdin: readBytes(what, object, "stdin") };
}

/** The request as JSON value, with empty fields left out. */
export function encodeExecRequest(request: ExecRequest): JsonObject {
  return {
    ...encodeCommandFields(request),
    ...(request.stdin.length === 0 ? {} : { stdin: encodeBase64(request.stdin) }),
  };
}

const U16_MAX = 0xffff;

/** The default size, if the host does not know its own. */
const DEFAULT_SIZE: TerminalSize = { rows: 24, cols: 80 };

/**
 * Reads an ExecTTYRequest; rows or columns of 0 mean 24 and 80.
 *
 * @throws {VsockboxError} BAD_DATA.
 */
export function decodeExecTTYRequest(payload: Uint8Array): ExecTTYRequest {
  const what = "ExecTTYRequest";
  const object = parseObject(what, payload);
  return {
    ...decodeCommandFields(what, object),
    size: {
      rows: integerField(what, object, "rows", U16_MAX) || DEFAULT_SIZE.rows,
      cols: integerField(what, object, "cols", U16_MAX) || DEFAULT_SIZE.cols,
    },
  };
}

/** The request as JSON value, with empty fields left out. */
export function encodeExecTTYRequest({ size, ...request }: ExecTTYRequest): JsonObject {
  return { ...encodeCommandFields(request), ...size };
}

/**
 * Reads Resize: u16 rows, u16 columns, both big-endian.
 *
 * @throws {VsockboxError} BAD_DATA for another length than 4, or a size of 0.
 */
export function decodeResize(payload: Uint8Array): TerminalSize {
  if (payload.length !== 4) throw badField("Resize", `it has ${payload.length} bytes, not 4`);
  const view = new DataView(payload.buffer, payload.byteOffset);
  const size = { rows: view.getUint16(0), cols: view.getUint16(2) };
  if (size.rows === 0 || size.cols === 0)
    throw badField("Resize", "a terminal cannot have a size of 0");
  return size;
}

/** Resize as it goes over the wire. */
export function encodeResize({ rows, cols }: TerminalSize): Uint8Array {
  const payload = new DataView(new ArrayBuffer(4));
  payload.setUint16(0, rows);
  payload.setUint16(2, cols);
  return new Uint8Array(payload.buffer);
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
    throw badField(what, "exit_code is not an integer");
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
  if (payload.length !== 4) throw badField("Exit", `it has ${payload.length} bytes, not 4`);
  return new DataView(payload.buffer, payload.byteOffset).getUint32(0);
}

/** Highest signal number, SIGRTMAX on Linux. */
const SIGNAL_MAX = 64;

/**
 * Reads Signal: one byte.
 *
 * @throws {VsockboxError} BAD_DATA for another length, or a number that is not a signal.
 */
export function decodeSignal(payload: Uint8Array): number {
  const signal = payload[0] ?? 0;
  if (payload.length !== 1 || signal < 1 || signal > SIGNAL_MAX) {
    throw badField("Signal", `it must be one byte from 1 to ${SIGNAL_MAX}`);
  }
  return signal;
}
