/**
 * A command in a PID namespace of its own, with two helpers, both this very program:
 *
 *     agent -> outer helper -> PID 1 of the namespace -> command
 *
 * The command is not PID 1 itself, since the kernel gives that no signal that it has no handler for.
 * Nor can the agent be the one that leaves its namespace for the moment of a start: a thread that did
 * cannot start threads, and the runtime takes an engine that cannot start one down with it. Both
 * helpers stay in the command's group and session, take no notice of signals, and end as it ends;
 * the end of PID 1 is that of everything else in the namespace.
 */
import { readSync, writeSync } from "node:fs";
import { constants } from "node:os";
import {
  blockSignals,
  closeStandardStreams,
  endAs,
  ignoreSignals,
  prepareChild,
  sendSignal,
  setInherited,
  startChild,
  waitForChild,
  waitingSignals,
} from "../ffi/child-process.ts";
import { dieWithParent, mountOwnProc, unshareProcesses } from "../ffi/sandbox.ts";
import { closeDescriptor, openPipe } from "../ffi/socket.ts";

const { SIGHUP, SIGINT, SIGQUIT, SIGTERM } = constants.signals;

/** What may end a command before it has begun, and is kept for it until then. */
const KEPT_SIGNALS = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/** A re-execution of this program. */
interface Reexecution {
  argv: [string, ...string[]];
  env: Record<string, string>;
}

/**
 * The outer helper: starts PID 1, which `initCommand` gives for the descriptor that it reports the
 * command's wait status to, and ends as the command does.
 *
 * @throws {VsockboxError} REFUSED where the namespace cannot be made.
 */
export function runInPidNamespace(initCommand: (report: number) => Reexecution): never {
  const report = openPipe();
  setInherited(report.write, true);
  const start = prepareChild({ ...initCommand(report.write), keepsBlockedSignals: true });
  blockSignals(KEPT_SIGNALS);
  unshareProcesses();
  ignoreSignals();
  const init = start();
  closeDescriptor(report.write);
  closeStandardStreams();
  const initStatus = waitForChild(init);
  const reported = new Int32Array(1);
  const length = readSync(report.read, reported);
  // PID 1 cannot end by the command's signal; it ended without a word where SIGKILL came, or where
  // it could not start the command.
  endAs(length === reported.byteLength ? (reported[0] ?? 0) : initStatus);
}

/**
 * PID 1: starts the command, waits for it and reports its wait status.
 *
 * @throws {VsockboxError} CONFIG or REFUSED where /proc cannot be mounted.
 */
export function runAsInit(report: number, command: Reexecution): never {
  dieWithParent();
  setInherited(report, false);
  mountOwnProc();
  const child = startChild({ ...command, keepsBlockedSignals: false });
  const early = waitingSignals(KEPT_SIGNALS);
  ignoreSignals();
  for (const signal of early) sendSignal(child, signal);
  closeStandardStreams();
  const status = waitForChild(child);
  writeSync(report, Int32Array.of(status));
  endAs(0);
}
