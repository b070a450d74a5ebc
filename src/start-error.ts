/** Why a command could not be started: the kind of failure, the step, and the exit status. */
import { EXIT_STATUS, type ErrorDetails, toVsockboxError, VsockboxError } from "./errors.ts";

/** Found but not executable, as in shells. */
export const STATUS_NOT_EXECUTABLE = 126;

/** Not found, as in shells. */
export const STATUS_NOT_FOUND = 127;

/** The kinds of failed starts. */
export const START_FAILURE_KINDS = [
  /** The program does not exist. */
  "not_found",
  /** The program may not be executed, or the user may not be changed. */
  "permission_denied",
  /** The program is a file that this kernel cannot execute. */
  "not_executable",
  /** The working directory does not exist or cannot be entered. */
  "bad_cwd",
  "user_unknown",
  /** A requested confinement cannot be applied. */
  "sandbox_failed",
  /** No pseudo-terminal could be opened. */
  "pty_failed",
  /** Too many processes or descriptors, too little memory, too long an argument list. */
  "resources",
] as const;

/** One of {@link START_FAILURE_KINDS}. */
export type StartFailureKind = (typeof START_FAILURE_KINDS)[number];

/** The steps of a start, in their order. */
export const START_STAGES = [
  "user",
  "directory",
  "terminal",
  "process",
  "sandbox",
  "program",
] as const;

/** One of {@link START_STAGES}. */
export type StartStage = (typeof START_STAGES)[number];

/** Fields of a {@link StartError}. */
export interface StartErrorDetails extends Omit<ErrorDetails, "code"> {
  kind: StartFailureKind;
  stage: StartStage;
}

/** A command that could not be started: nothing of it ran. */
export class StartError extends VsockboxError {
  readonly kind: StartFailureKind;
  readonly stage: StartStage;
  /** Its fields, for a process that passes it on. */
  readonly details: StartErrorDetails;

  constructor(details: StartErrorDetails) {
    super({ ...details, code: "NOT_STARTED" });
    this.details = details;
    this.kind = details.kind;
    this.stage = details.stage;
  }

  /** 127 or 126 if the program itself could not be executed, 125 for every other step. */
  override get exitStatus(): number {
    if (this.stage !== "program") return EXIT_STATUS.NOT_STARTED;
    return this.kind === "not_found" ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
  }

  override toJSON(): Record<string, unknown> {
    return { ...super.toJSON(), kind: this.kind, stage: this.stage };
  }
}

/** Converts any error of a step to a failed start. Its hint joins the message: a failed start is one line. */
export function asStartError(
  thrown: unknown,
  at: { kind: StartFailureKind; stage: StartStage },
): StartError {
  if (thrown instanceof StartError) return thrown;
  const { operation, address, reason, errno, hint } = toVsockboxError(thrown, "start the command");
  return new StartError({
    ...at,
    operation,
    address,
    message: hint === undefined ? reason : `${reason}; ${hint}`,
    errno,
  });
}

const KIND_OF_ERRNO: Readonly<Record<string, StartFailureKind>> = {
  ENOENT: "not_found",
  ENOTDIR: "not_found",
  EACCES: "permission_denied",
  EPERM: "permission_denied",
  E2BIG: "resources",
};

/** Errors of fork(2), clone(2) and pipe(2), which do not depend on the program. */
const PROCESS_ERRNOS: ReadonlySet<string> = new Set(["EAGAIN", "ENOMEM", "EMFILE", "ENFILE"]);

/** Returns the kind for an errno of starting a program. */
export function startFailureOf(errno: string | undefined): {
  kind: StartFailureKind;
  stage: StartStage;
} {
  if (errno !== undefined && PROCESS_ERRNOS.has(errno)) {
    return { kind: "resources", stage: "process" };
  }
  return { kind: KIND_OF_ERRNO[errno ?? ""] ?? "not_executable", stage: "program" };
}

/** A failed start as reported by agents without typed failures: an exit code and a text. */
export function startFailureOfStatus(exitCode: number, words: string): StartError {
  return new StartError({
    kind: KIND_OF_STATUS[exitCode] ?? "resources",
    stage: KIND_OF_STATUS[exitCode] === undefined ? "process" : "program",
    operation: "run command",
    // The text already names the operation and its object.
    text: words,
  });
}

const KIND_OF_STATUS: Readonly<Record<number, StartFailureKind>> = {
  [STATUS_NOT_EXECUTABLE]: "permission_denied",
  [STATUS_NOT_FOUND]: "not_found",
};
