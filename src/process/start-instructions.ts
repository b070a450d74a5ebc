/**
 * How a start is handed over to the helper, which is this program again: the instructions in a file
 * in memory, so that no limit of a single environment variable applies, and a pipe on which the
 * helper reports why it could not become the command. The pipe closes without a report when the
 * helper executes the command.
 */
import { foreignOperation } from "../operations.ts";
import { closeSync } from "node:fs";
import { openMemory } from "../ffi/memfd.ts";
import { openPipe } from "../ffi/socket.ts";
import { START_FAILURE_KINDS, START_STAGES, StartError } from "../start-error.ts";
import { PipeReader } from "../io/pipe.ts";
import type { Environment } from "./environment.ts";
import { RUN_AS_WORD } from "./run-as-word.ts";
import type { SandboxOption } from "./sandbox/sandbox-options.ts";
import { runningCommand } from "./self.ts";
import type { User } from "./users.ts";

/** A command whose directory and program were found. */
export interface ResolvedSpawn {
  /** Absolute path of the program. */
  program: Uint8Array;
  /** The arguments, the program's own name first. */
  argv: readonly Uint8Array[];
  env: Environment;
  /** Absolute. */
  cwd: Uint8Array;
  user: User | undefined;
  sandbox: readonly SandboxOption[];
  /** The command's user outside of its namespaces; undefined: this process's user. */
  owner: { uid: number; gid: number } | undefined;
  /** Whether standard input is a terminal that becomes the controlling one. */
  onTerminal: boolean;
}

/** Holds the numbers of the helper's descriptors: nothing of the command acts on our own start. */
export const DESCRIPTORS_VARIABLE = "VSOCKBOX_RUN_AS";

/** The first descriptors after the standard streams. */
const [INSTRUCTIONS_FD, REPORT_FD] = [3, 4];

/** Counts changes of {@link Instructions}: the file of a running agent may have been replaced. */
export const INSTRUCTIONS_VERSION = 2;

/** Longest report that is read, in bytes. */
const MAX_REPORT_BYTES = 64 * 1024;

/** What the helper does. Strings hold bytes, a character each (Latin-1). */
export interface Instructions {
  /** {@link INSTRUCTIONS_VERSION} of the program that wrote them. */
  version: number;
  program: string;
  argv: string[];
  settings: string[];
  cwd: string;
  user: { uid: number; gid: number; groups: number[] } | null;
  /** What becomes of standard input: the session's terminal, or that with us in its foreground. */
  terminal: "controlling" | "foreground" | null;
  sandbox: readonly SandboxOption[];
  /** Whether the helper is in the sandbox's namespaces already. */
  isInside: boolean;
  /** Not null: be PID 1 of the namespace, with these pipes. */
  init: { report: number; go: number } | null;
}

/** Descriptors of a helper. */
export interface HelperDescriptors {
  instructions: number;
  /** The pipe on which a failed start is reported. */
  report: number;
}

/** A start that a helper completes. */
export interface Handover {
  argv: [string, ...string[]];
  env: Record<string, string>;
  /** The helper's descriptors from 3 on. */
  descriptors: [number, number];
  /** Waits for the helper to become the command, and closes this side of the pipe. */
  started(): Promise<void>;
  /** Closes the helper's descriptors; the whole pipe if {@link started} was not called. */
  closeChildEnds(): void;
}

const textOf = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");

/**
 * Prepares a helper for a resolved command.
 *
 * @throws {VsockboxError} if a pipe or memory cannot be opened.
 */
export function handOver(resolved: ResolvedSpawn): Handover {
  const { user, onTerminal, sandbox } = resolved;
  const instructions = openInstructions({
    version: INSTRUCTIONS_VERSION,
    program: textOf(resolved.program),
    argv: resolved.argv.map(textOf),
    settings: resolved.env.toSettings().map(textOf),
    cwd: textOf(resolved.cwd),
    // If we are not root, we are that user already.
    user:
      user === undefined || process.geteuid?.() !== 0
        ? null
        : { uid: user.uid, gid: user.gid, groups: user.groups },
    terminal: onTerminal ? "controlling" : null,
    sandbox,
    isInside: false,
    init: null,
  });
  const report = openPipe();
  let isWaiting = false;
  return {
    ...helperCommand({ instructions: INSTRUCTIONS_FD, report: REPORT_FD }),
    descriptors: [instructions, report.write],
    started() {
      isWaiting = true;
      return readReport(report.read);
    },
    closeChildEnds() {
      closeSync(instructions);
      closeSync(report.write);
      if (!isWaiting) closeSync(report.read);
    },
  };
}

/** A file in memory with the instructions; the caller closes it. */
export function openInstructions(instructions: Instructions): number {
  return openMemory("vsockbox-start", Buffer.from(JSON.stringify(instructions)));
}

/** Argument vector and environment of a helper. */
export function helperCommand({ instructions, report }: HelperDescriptors): {
  argv: [string, ...string[]];
  env: Record<string, string>;
} {
  const [program, ...rest] = runningCommand();
  return {
    argv: [program, ...rest, RUN_AS_WORD],
    env: { [DESCRIPTORS_VARIABLE]: `${instructions},${report}` },
  };
}

async function readReport(fd: number): Promise<void> {
  const reader = new PipeReader(fd);
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  try {
    for (;;) {
      const piece = await reader.read();
      if (piece === undefined) break;
      bytes += piece.length;
      if (bytes <= MAX_REPORT_BYTES) pieces.push(piece);
    }
  } finally {
    await reader.close();
  }
  if (pieces.length > 0) throw decodeStartError(Buffer.concat(pieces).toString());
}

/** A failed start as the helper reports it. */
export function encodeStartError(error: StartError): string {
  return JSON.stringify(error.details);
}

/** Reads a helper's report. Never throws. */
export function decodeStartError(text: string): StartError {
  let report: unknown;
  try {
    report = JSON.parse(text);
  } catch {
    // It ended while it wrote.
  }
  const read = (name: string) => {
    const value: unknown = Object(report)[name];
    return typeof value === "string" ? value : undefined;
  };
  return new StartError({
    kind: START_FAILURE_KINDS.find((kind) => kind === read("kind")) ?? "resources",
    stage: START_STAGES.find((stage) => stage === read("stage")) ?? "process",
    operation: foreignOperation(read("operation") ?? "start the command"),
    address: read("address"),
    message: read("message") ?? "the helper failed",
    errno: read("errno"),
    hint: read("hint"),
  });
}
