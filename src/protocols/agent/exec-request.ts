/**
 * The request to run a command on a channel.
 *
 * | field | |
 * | --- | --- |
 * | `argv` | program and arguments: strings, or `{"base64": …}` for bytes that are not UTF-8 |
 * | `shell_line` | instead of `argv`: a line for the user's shell |
 * | `login_shell` | instead of `argv`: true; the user's shell |
 * | `environment` | `NAME=VALUE` settings, added to the agent's own |
 * | `more` | true: Records with more of `argv` and `environment` follow, the last one without `more` |
 * | `working_dir`, `user`, `sandbox`, `tty`, `input`, `detach`, `name` | |
 *
 * Agents and clients without the feature `argv` have `command`, `args` and `env` of the Go agent's
 * ExecRequest instead.
 */
import { goCommandLine, goEnvironmentOf } from "./go-command.ts";
import {
  badField,
  field,
  type JsonObject,
  integerField,
  readString,
  readStrings,
} from "./json-fields.ts";
import { readModes, type TerminalModes } from "../terminal/modes.ts";
import { decodeCommandFields, encodeCommandFields, type TerminalSize } from "./messages.ts";
import { decodePath, encodePath, textOf } from "./paths.ts";
import type { Program } from "./program.ts";

/** The feature of a Hello whose agents read {@link ExecOperation} with an argument vector. */
export const ARGV_FEATURE = "argv";

/** The terminal that a command asks for. */
export interface TerminalRequest extends TerminalSize {
  /** Undefined: the modes of a new terminal. */
  modes?: TerminalModes | undefined;
}

/** Runs a command with streams, on a terminal, or detached. */
export interface ExecOperation {
  op: "exec";
  program: Program;
  /** `NAME=VALUE` settings, added to the agent's environment. */
  env: readonly Uint8Array[];
  /** Undefined: the agent's own directory. */
  workingDir: Uint8Array | undefined;
  /** `uid`, `uid:gid` or a name; undefined: the agent's own user. */
  user: string | undefined;
  /** Confinement that is asked for in addition to the agent's own. */
  sandbox: readonly string[] | undefined;
  tty: TerminalRequest | undefined;
  /** Whether input will come; without it the command's input is empty. */
  input: boolean;
  /** Keep it without this channel; the result is its id. */
  detach: boolean;
  /** The name of a detached session in lists. */
  name: string | undefined;
  /** Whether more of the vector and the environment comes in Records. */
  more: boolean;
}

/** More of a request's vector and environment. */
export interface ExecPart {
  argv: Uint8Array[];
  env: Uint8Array[];
  /** Whether another part follows. */
  more: boolean;
}

const U16_MAX = 0xffff;

/** A field that is true or false; false if it is missing. */
export function readFlag(what: string, object: JsonObject, name: string): boolean {
  const value = field(object, name) ?? false;
  if (typeof value !== "boolean") throw badField(what, `${name} is neither true nor false`);
  return value;
}

/** A terminal's size as `tty`; 0 rows or columns mean 24 and 80. */
export function readTerminalSize(what: string, object: JsonObject): TerminalSize | undefined {
  const value = field(object, "tty");
  if (value === undefined) return undefined;
  if (typeof value !== "object" || Array.isArray(value))
    throw badField(what, "tty is not an object");
  const size = value as JsonObject;
  return {
    rows: integerField(what, size, "rows", U16_MAX) || 24,
    cols: integerField(what, size, "cols", U16_MAX) || 80,
  };
}

function readTerminal(what: string, object: JsonObject): TerminalRequest | undefined {
  const size = readTerminalSize(what, object);
  const modes = readModes(what, field((field(object, "tty") ?? {}) as JsonObject, "modes"));
  return size === undefined || modes === undefined ? size : { ...size, modes };
}

function bytesOf(what: string, name: string, value: unknown): Uint8Array {
  const bytes = decodePath(value);
  if (bytes === undefined) throw badField(what, `${name} is neither a string nor base64`);
  if (bytes.includes(0)) throw badField(what, `${name} has a NUL byte`);
  return bytes;
}

function readBytesField(what: string, object: JsonObject, name: string): Uint8Array | undefined {
  const value = field(object, name);
  return value === undefined ? undefined : bytesOf(what, name, value);
}

function readBytesList(what: string, object: JsonObject, name: string): Uint8Array[] {
  const value = field(object, name) ?? [];
  if (!Array.isArray(value)) throw badField(what, `${name} is not a list`);
  return value.map((item) => bytesOf(what, name, item));
}

function readSettings(what: string, object: JsonObject): Uint8Array[] {
  const settings = readBytesList(what, object, "environment");
  const equals = 0x3d;
  if (settings.some((setting) => setting.indexOf(equals) < 1)) {
    throw badField(what, "environment has a setting that is not NAME=VALUE");
  }
  return settings;
}

/**
 * Reads the request of an Open.
 *
 * @throws {VsockboxError} BAD_DATA: a field of a wrong type, a NUL, nothing to run.
 */
export function decodeExecOperation(object: JsonObject): ExecOperation {
  const what = "exec request";
  const common = {
    op: "exec",
    user: readString(what, object, "user"),
    tty: readTerminal(what, object),
    input: readFlag(what, object, "input"),
    detach: readFlag(what, object, "detach"),
    name: readString(what, object, "name"),
  } as const;
  if (field(object, "command") !== undefined) {
    const { command, args, workingDir, env, sandbox } = decodeCommandFields(what, object);
    return {
      ...common,
      program: { kind: "go", command, args },
      env: Object.entries(env).map(([name, value]) => new TextEncoder().encode(`${name}=${value}`)),
      workingDir: workingDir === undefined ? undefined : new TextEncoder().encode(workingDir),
      sandbox,
      more: false,
    };
  }
  const sandbox = readStrings(what, object, "sandbox");
  const workingDir = readBytesField(what, object, "working_dir");
  return {
    ...common,
    program: readProgram(what, object),
    env: readSettings(what, object),
    workingDir: workingDir?.length === 0 ? undefined : workingDir,
    sandbox: sandbox.length === 0 ? undefined : sandbox,
    more: readFlag(what, object, "more"),
  };
}

function readProgram(what: string, object: JsonObject): Program {
  const line = readBytesField(what, object, "shell_line");
  const isVector = field(object, "argv") !== undefined;
  const isLogin = readFlag(what, object, "login_shell");
  const count = [line !== undefined, isVector, isLogin].filter(Boolean).length;
  if (count === 0) throw badField(what, "the command is missing");
  if (count > 1) throw badField(what, "it has more than one of argv, shell_line and login_shell");
  if (line !== undefined) return { kind: "shell-line", line };
  if (isLogin) return { kind: "login-shell" };
  return { kind: "vector", argv: readBytesList(what, object, "argv") };
}

/**
 * Reads a Record that continues a request.
 *
 * @throws {VsockboxError} BAD_DATA.
 */
export function decodeExecPart(object: JsonObject): ExecPart {
  const what = "exec request";
  return {
    argv: readBytesList(what, object, "argv"),
    env: readSettings(what, object),
    more: readFlag(what, object, "more"),
  };
}

/**
 * The request as JSON value.
 *
 * @param features of the agent: without `argv` the vector becomes a program and text arguments, or
 * a quoted shell line.
 */
export function encodeExecOperation(
  request: ExecOperation,
  features: readonly string[],
): JsonObject {
  const { op, program, workingDir, user, sandbox, tty, input, detach, name, more } = request;
  const common = { op, tty, input, detach, name };
  if (program.kind === "go" || !features.includes(ARGV_FEATURE)) {
    const { command, args, env } = goCommandLine(program, { mayHaveArgs: true });
    const text = workingDir && textOf(workingDir);
    const all = { ...goEnvironmentOf(request.env), ...env };
    const fields = { command, args, workingDir: text, env: all, user, sandbox };
    return { ...common, ...encodeCommandFields(fields) };
  }
  return {
    ...common,
    ...encodeProgram(program),
    environment: request.env.length === 0 ? undefined : request.env.map(encodePath),
    working_dir: workingDir && encodePath(workingDir),
    user,
    sandbox,
    more,
  };
}

function encodeProgram(program: Exclude<Program, { kind: "go" }>): JsonObject {
  switch (program.kind) {
    case "vector":
      return { argv: program.argv.map(encodePath) };
    case "shell-line":
      return { shell_line: encodePath(program.line) };
    case "login-shell":
      return { login_shell: true };
  }
}

/** A continuation as JSON value. */
export function encodeExecPart({ argv, env, more }: ExecPart): JsonObject {
  return {
    ...(argv.length === 0 ? {} : { argv: argv.map(encodePath) }),
    ...(env.length === 0 ? {} : { environment: env.map(encodePath) }),
    ...(more ? { more } : {}),
  };
}

/** Bytes of arguments and variables in one frame. In JSON a byte may become six. */
const PART_BYTES = 128 * 1024;

/**
 * Splits a request whose vector and environment do not fit into one frame: the request with the
 * first of them, and the parts that follow. A single string is never split.
 */
export function splitExecOperation(request: ExecOperation): {
  first: ExecOperation;
  parts: ExecPart[];
} {
  const argv = request.program.kind === "vector" ? request.program.argv : [];
  const chunks: { argv: Uint8Array[]; env: Uint8Array[] }[] = [{ argv: [], env: [] }];
  let bytes = 0;
  const add = (list: "argv" | "env", item: Uint8Array) => {
    bytes += item.length;
    if (bytes > PART_BYTES) {
      chunks.push({ argv: [], env: [] });
      bytes = item.length;
    }
    chunks.at(-1)?.[list].push(item);
  };
  for (const item of argv) add("argv", item);
  for (const item of request.env) add("env", item);
  const [head, ...rest] = chunks;
  if (head === undefined || rest.length === 0) return { first: request, parts: [] };
  const { program } = request;
  return {
    first: {
      ...request,
      program: program.kind === "vector" ? { kind: "vector", argv: head.argv } : program,
      env: head.env,
      more: true,
    },
    parts: rest.map(({ argv: words, env }, index) => ({
      argv: words,
      env,
      more: index < rest.length - 1,
    })),
  };
}

/**
 * Adds a continuation to a request.
 *
 * @throws {VsockboxError} BAD_DATA if it continues a vector that does not exist.
 */
export function addExecPart(request: ExecOperation, part: ExecPart): ExecOperation {
  const { program } = request;
  if (program.kind !== "vector" && part.argv.length > 0) {
    throw badField("exec request", "argv is missing, and a Record continues it");
  }
  return {
    ...request,
    program:
      program.kind === "vector"
        ? { kind: "vector", argv: [...program.argv, ...part.argv] }
        : program,
    env: [...request.env, ...part.env],
    more: part.more,
  };
}

/** The command as lists show it. */
export function showProgram(program: Program): string {
  switch (program.kind) {
    case "vector":
      return program.argv.map(textOf).join(" ");
    case "shell-line":
      return textOf(program.line);
    case "login-shell":
      return "(login shell)";
    case "go":
      return [program.command, ...program.args].join(" ");
  }
}
