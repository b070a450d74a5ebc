/**
 * The error family of vsockbox.
 *
 * Every expected failure is a {@link VsockboxError}: its code (which decides the exit status), the
 * operation, the address, the errno of the kernel, and a hint.
 */

import {
  foreignOperation,
  type Operation,
  operationOfCall,
  operationPhrase,
} from "./operations.ts";
import { descriptionOfName, kernelName } from "./system-errors.ts";

/**
 * The kinds of failures with their exit statuses; the numbers are those of sysexits.h if one fits.
 */
export const EXIT_STATUS = {
  /** The command line is invalid. EX_USAGE. */
  USAGE: 64,
  /** The peer sent something that its protocol does not allow. EX_DATAERR. */
  BAD_DATA: 65,
  /** No listener, no such CID, no vsock in this kernel. EX_UNAVAILABLE. */
  UNAVAILABLE: 69,
  /** A defect of vsockbox itself. EX_SOFTWARE. */
  SOFTWARE: 70,
  /** An output (socket, file) could not be made. EX_CANTCREAT. */
  CANNOT_CREATE: 73,
  /** Reading or writing a local file, pipe or terminal failed. EX_IOERR. */
  IO: 74,
  /** A connect or a handshake did not finish in time; trying again may help. EX_TEMPFAIL. */
  TIMEOUT: 75,
  /** The peer, or a local policy, does not allow it. EX_NOPERM. */
  REFUSED: 77,
  /** A configuration file or the environment is wrong. EX_CONFIG. */
  CONFIG: 78,
  /** A connection broke after it was established. 255, as in ssh(1). */
  TRANSPORT: 255,
  /** A command could not be started; 125 as in env(1) and timeout(1). See `StartError`. */
  NOT_STARTED: 125,
  /** The user or a caller's AbortSignal ended it. 130 is 128 + SIGINT. */
  ABORTED: 130,
} as const;

/** One of the kinds of failure in {@link EXIT_STATUS}. */
export type ErrorCode = keyof typeof EXIT_STATUS;

/** The steps of using vsock that fail in ways of their own, as the Go vsock package distinguishes them. */
export const ERROR_STEPS = [
  // A socket.
  "create_socket",
  "bind",
  "listen",
  "accept",
  "connect",
  // /dev/vsock.
  "open_device",
  "get_local_cid",
  // The agent's wire. Header and request are sent in one write.
  "write_request",
  "read_response_header",
  "read_response_data",
  "read_port_forward_response",
  "port_forward_rejected",
  "unexpected_port_forward_message",
  "encode_file_request",
  "file_remote",
] as const;

/** One of {@link ERROR_STEPS}. */
export type ErrorStep = (typeof ERROR_STEPS)[number];

/** Fields of a {@link VsockboxError}. */
export interface ErrorDetails {
  code: ErrorCode;
  /** The step that failed, if it is one that programs distinguish. */
  step?: ErrorStep | undefined;
  /** The operation, as a short verb phrase: "connect", "write to", "read frame". */
  operation: Operation;
  /** The reason, without the operation and the address. */
  message?: string | undefined;
  /** The errno's name, such as ECONNRESET. */
  errno?: string | undefined;
  /** The address, path or command of the operation. */
  address?: string | undefined;
  /** A hint for the user. */
  hint?: string | undefined;
  /** The whole text, in place of `cannot OPERATION OBJECT: REASON`: a peer's, or of a usage error. */
  text?: string | undefined;
  cause?: unknown;
}

/** Every error that vsockbox reports on purpose. */
export class VsockboxError extends Error {
  override readonly name = "VsockboxError";
  readonly code: ErrorCode;
  /** The step that failed; undefined for all others than {@link ERROR_STEPS}. */
  readonly step: ErrorStep | undefined;
  readonly operation: Operation;
  /** The reason alone, without the operation, the address and the errno's name. */
  readonly reason: string;
  readonly errno: string | undefined;
  readonly address: string | undefined;
  readonly hint: string | undefined;
  readonly #isForeign: boolean;

  constructor(details: ErrorDetails) {
    super(describe(details), details.cause === undefined ? undefined : { cause: details.cause });
    this.code = details.code;
    this.step = details.step;
    this.operation = details.operation;
    this.reason = details.message ?? details.text ?? "failed";
    this.errno = details.errno;
    this.address = details.address;
    this.hint = details.hint;
    this.#isForeign = details.text !== undefined;
  }

  /** The process exit status that this failure stands for. */
  get exitStatus(): number {
    return EXIT_STATUS[this.code];
  }

  /** Returns the same error with another hint. */
  withHint(hint: string): VsockboxError {
    return this.#with({ hint });
  }

  /** Returns the same error with its step. */
  withStep(step: ErrorStep): VsockboxError {
    return this.#with({ step });
  }

  #with(changes: Partial<ErrorDetails>): VsockboxError {
    const { code, step, operation, address, errno, hint, reason } = this;
    const text = this.#isForeign ? this.message : undefined;
    return new VsockboxError({
      ...{ code, step, operation, address, errno, hint, text },
      message: reason,
      cause: this,
      ...changes,
    });
  }

  /** The text for peers with the Go agent's frames, in the form of Go's errors: `open /x: REASON`. */
  get wireText(): string {
    const { operation, address, reason, errno } = this;
    const subject = address === undefined ? operation : `${operation} ${address}`;
    return this.#isForeign ? this.message : `${subject}: ${withErrno(reason, errno)}`;
  }

  /** Returns the fields as plain data, for `--json`. */
  toJSON(): Record<string, unknown> {
    return {
      code: this.code,
      message: this.message,
      operation: this.operation,
      ...(this.errno === undefined ? {} : { errno: this.errno }),
      ...(this.address === undefined ? {} : { address: this.address }),
      ...(this.hint === undefined ? {} : { hint: this.hint }),
    };
  }
}

function describe({ operation, address, message, errno, text }: ErrorDetails): string {
  if (text !== undefined) return text;
  return `cannot ${operationPhrase(operation, address)}: ${withErrno(message ?? "failed", errno)}`;
}

function withErrno(reason: string, errno: string | undefined): string {
  return errno === undefined || reason.includes(errno) ? reason : `${reason} (${errno})`;
}

/** Standard output or standard error cannot be written: no message about it reaches a reader there. */
export class OutputError extends VsockboxError {
  constructor(fd: 1 | 2, { errno, message }: Reason, cause?: unknown) {
    super({
      code: "IO",
      operation: "write to",
      address: fd === 1 ? "standard output" : "standard error",
      message,
      errno,
      cause,
    });
  }
}

/**
 * Returns the error about the use of a command: `exec: the command is missing`.
 *
 * @param command undefined: no command is known yet.
 */
export function commandLineError(
  command: string | undefined,
  message: string,
  hint?: string,
): VsockboxError {
  return new VsockboxError({
    code: "USAGE",
    operation: foreignOperation(command ?? "command line"),
    text: command === undefined ? message : `${command}: ${message}`,
    message,
    hint,
  });
}

/** What was wrong with a value, for {@link invalidValue}. */
export interface InvalidValue {
  /** The value as it was written. */
  value: string;
  /** The option, operand or key, such as `--timeout`. */
  name: string;
  /** What is expected or wrong, such as "expected a number from 1 to 5" or "the port is missing". */
  message: string;
  hint?: string | undefined;
  /** Default USAGE; CONFIG for a file's value. */
  code?: ErrorCode;
}

/** Returns the error about a value: `invalid value "abc" for --timeout: expected …`. */
export function invalidValue({
  value,
  name,
  message,
  hint,
  code = "USAGE",
}: InvalidValue): VsockboxError {
  return new VsockboxError({
    code,
    operation: "parse",
    address: name,
    text: `invalid value ${JSON.stringify(value)} for ${name}: ${message}`,
    message,
    hint,
  });
}

/** A thrown value's errno name, if it has one, and its message without it. */
export interface Reason {
  errno: string | undefined;
  message: string;
}

/** Reads the errors of Bun's file and process calls, which put "ENOENT: ", the call and more around. */
export function reasonOf(thrown: unknown): Reason {
  if (thrown instanceof VsockboxError) return { errno: thrown.errno, message: thrown.message };
  if (!(thrown instanceof Error)) return { errno: undefined, message: String(thrown) };
  const code: unknown = Reflect.get(thrown, "code");
  if (typeof code !== "string" || !/^E[A-Z0-9]+$/.test(code)) {
    return { errno: undefined, message: thrown.message };
  }
  const errno = kernelName(code);
  const words = /^E[A-Z0-9]+: ([^,]*)/.exec(thrown.message)?.[1];
  // The runtime's words are those of other systems, or of another call.
  return {
    errno,
    message: words === undefined ? thrown.message : (descriptionOfName(errno) ?? words),
  };
}

/** A path by descriptor means nothing to the user: the operation names the file. */
function isDescriptor(path: string): boolean {
  return /^\/proc\/(?:self|\d+)\/fd\//.test(path);
}

/** The operation of an error that its thrower has not named: that of the system call, if it names one. */
function ownOperation(thrown: unknown): Operation {
  const call: unknown = thrown instanceof Error ? Reflect.get(thrown, "syscall") : undefined;
  return typeof call === "string" && call !== "" ? operationOfCall(call) : "perform a system call";
}

/**
 * Converts any thrown value to a {@link VsockboxError}. One that is not is a defect of vsockbox, unless
 * it carries an errno name, as the errors of Bun's file and process calls do.
 *
 * @param named the operation that failed; undefined: the system call that the error names.
 */
export function toVsockboxError(thrown: unknown, named?: Operation): VsockboxError {
  if (thrown instanceof VsockboxError) return thrown;
  const { errno, message } = reasonOf(thrown);
  const operation = named ?? ownOperation(thrown);
  const path: unknown = thrown instanceof Error ? Reflect.get(thrown, "path") : undefined;
  return new VsockboxError({
    code: errno === undefined ? "SOFTWARE" : "IO",
    operation,
    message,
    text: errno === undefined && named === undefined ? `internal error: ${message}` : undefined,
    errno,
    address: typeof path === "string" && !isDescriptor(path) ? path : undefined,
    cause: thrown,
  });
}
