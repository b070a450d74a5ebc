/**
 * What must happen in the child between fork and exec, and the runtime does not do: supplementary
 * groups, a controlling terminal, a sandbox, arguments and variables that are not UTF-8. Our own file
 * is executed again, does it, and becomes the command.
 */
import { closeSync, fstatSync, readdirSync, readSync, writeSync } from "node:fs";
import { commandLineError, reasonOf } from "../errors.ts";
import { setInherited } from "../ffi/child-process.ts";
import { changeDirectory, replaceProcess } from "../ffi/credentials.ts";
import { makeControllingTerminal, takeForeground } from "../ffi/pty.ts";
import { asStartError, StartError } from "../start-error.ts";
import {
  DESCRIPTORS_VARIABLE,
  encodeStartError,
  helperCommand,
  type HelperDescriptors,
  type Instructions,
  INSTRUCTIONS_VERSION,
  openInstructions,
} from "./start-instructions.ts";
import { programError } from "./program.ts";
import { RUN_AS_WORD } from "./run-as-word.ts";
import { type Reexecution, runAsInit, runInPidNamespace } from "./sandbox/pid-namespace.ts";
import { becomeRestricted, enterNamespaces } from "./sandbox/sandbox.ts";
import { applyLimits, isLimitWord } from "./sandbox/limits.ts";
import { SANDBOX_USERS } from "./sandbox/sandbox-user.ts";

/** Exit status of a helper that has reported its failure. */
const STATUS_FAILED = 125;

const bytesOf = (text: string): Uint8Array => Buffer.from(text, "latin1");

/**
 * Performs the instructions and becomes the command. Returns the exit status of a failure,
 * which it has reported.
 *
 * @throws {VsockboxError} USAGE if it was not started by an agent.
 */
export function runAs(): number {
  const descriptors = ownDescriptors();
  // The report closes when the command is executed.
  setInherited(descriptors.report, false);
  try {
    return become(readInstructions(descriptors.instructions), descriptors);
  } catch (thrown) {
    const error = asStartError(thrown, { kind: "resources", stage: "process" });
    try {
      writeSync(descriptors.report, encodeStartError(error));
    } catch {
      // The agent has ended.
    }
    return STATUS_FAILED;
  }
}

function ownDescriptors(): HelperDescriptors {
  const [instructions, report] = (process.env[DESCRIPTORS_VARIABLE] ?? "").split(",").map(Number);
  if (instructions !== undefined && report !== undefined) return { instructions, report };
  throw commandLineError(RUN_AS_WORD, "this word is for the agent's own use");
}

function readInstructions(fd: number): Instructions {
  const bytes = new Uint8Array(fstatSync(fd).size);
  let filled = 0;
  while (filled < bytes.length) {
    const count = readSync(fd, bytes, filled, bytes.length - filled, filled);
    if (count === 0) break;
    filled += count;
  }
  closeSync(fd);
  const instructions = JSON.parse(new TextDecoder().decode(bytes)) as Instructions;
  if (instructions.version === INSTRUCTIONS_VERSION) return instructions;
  throw new StartError({
    kind: "resources",
    stage: "process",
    operation: "start the command",
    message: "the agent's file was replaced by another version; restart the agent",
  });
}

function become(instructions: Instructions, { report }: HelperDescriptors): never {
  const { program, argv, settings, cwd, user, terminal, sandbox, isInside, init } = instructions;
  if (terminal === "controlling") {
    during({ kind: "pty_failed", stage: "terminal" }, () => makeControllingTerminal(0));
  }
  const restricting = { kind: "sandbox_failed", stage: "sandbox" } as const;
  if (init !== null) {
    const next = reexecution({ ...instructions, isInside: true, init: null }, report);
    return during(restricting, () => runAsInit(init, next));
  }
  if (!isInside) during(restricting, () => enterNamespaces(sandbox));
  if (!isInside && sandbox.includes("pid-namespace")) {
    // The group that we are in has no number in the namespace, without which shells cannot pass the
    // terminal back: the command gets a group of its own.
    const inside = terminal === null ? null : "foreground";
    return during(restricting, () =>
      runInPidNamespace(
        (pipes) => reexecution({ ...instructions, terminal: inside, init: pipes }, report),
        sandbox.includes("user-namespace") ? SANDBOX_USERS : undefined,
      ),
    );
  }
  if (terminal === "foreground") takeForeground(0);
  during({ kind: "bad_cwd", stage: "directory" }, () => changeDirectory(bytesOf(cwd)));
  const limits = sandbox.filter(isLimitWord);
  // Process 1 belongs to the user namespace's root as well.
  const otherThreads = sandbox.includes("user-namespace") ? readdirSync("/proc/1/task").length : 0;
  during(sandbox.length > 0 ? restricting : { kind: "permission_denied", stage: "user" }, () =>
    becomeRestricted(user, sandbox),
  );
  // Last: the runtime itself needs more than a command may have.
  during(restricting, () => applyLimits(limits, otherThreads));
  try {
    return replaceProcess(bytesOf(program), argv.map(bytesOf), settings.map(bytesOf));
  } catch (thrown) {
    throw programError(bytesOf(argv[0] ?? program), reasonOf(thrown).errno);
  }
}

/** The instructions of a helper, with the descriptors that it inherits. */
function reexecution(instructions: Instructions, report: number): Reexecution {
  const file = openInstructions(instructions);
  return {
    ...helperCommand({ instructions: file, report }),
    inherited: [file, report],
  };
}

function during<T>(at: Pick<StartError, "kind" | "stage">, step: () => T): T {
  try {
    return step();
  } catch (thrown) {
    throw asStartError(thrown, at);
  }
}
