/**
 * A command in a PID namespace of its own, with two helpers, both this very program:
 *
 *     agent -> outer helper -> PID 1 of the namespace -> command
 *
 * The command is not PID 1 itself, since the kernel does not deliver signals to that without a handler.
 * Nor can the agent be the one that leaves its namespace for the moment of a start: a thread that did
 * cannot start threads, and the runtime aborts if its engine cannot start one. Both
 * helpers stay in the command's group and session, ignore signals, and end as it ends;
 * the end of PID 1 is that of everything else in the namespace.
 */
import { readSync, writeSync } from "node:fs";
import { constants } from "node:os";
import {
  closeStandardStreams,
  endAs,
  ignoreSignals,
  prepareChild,
  sendSignal,
  setBlockedSignals,
  setInherited,
  waitForChild,
  waitingSignals,
} from "../../ffi/child-process.ts";
import { startNamespacedChild, type UserMap } from "../../ffi/namespaced-child.ts";
import { dieWithParent, mountOwnProc, Namespace } from "../../ffi/sandbox.ts";
import { closeDescriptor, openPipe } from "../../ffi/socket.ts";
import { protectProc } from "./protect-kernel.ts";

const { SIGHUP, SIGINT, SIGQUIT, SIGTERM } = constants.signals;

/** Any byte does. */
const READY = Uint8Array.of(1);

/** What may end a command before it has begun. */
const ENDING_SIGNALS = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/** What PID 1 has open beside the command's own descriptors, to the outer helper. */
export interface InitPipes {
  /** PID 1 writes: that it is ready, then the command's wait status. */
  report: number;
  /** PID 1 reads: the request to start the command; end of input if no process waits for it any longer. */
  go: number;
}

/** A re-execution of this program. */
export interface Reexecution {
  argv: [string, ...string[]];
  env: Record<string, string>;
  /** Descriptors that are the next program's, and closed here once it was started. */
  inherited: readonly number[];
}

/**
 * The outer helper: starts PID 1, which `initCommand` returns, and ends as the command does.
 *
 * With `users` PID 1 is the root of a user namespace, too.
 *
 * Until PID 1 is ready a signal ends this process, as it would have the command. From then on PID 1
 * keeps it for the command. It cannot do so before: the runtime unblocks all signals while it loads.
 *
 * @throws {VsockboxError} REFUSED if the namespace cannot be made.
 */
export function runInPidNamespace(
  initCommand: (pipes: InitPipes) => Reexecution,
  users: UserMap | undefined,
): never {
  const [report, go] = [openPipe(), openPipe()];
  const pipes = { report: report.write, go: go.read };
  const command = initCommand(pipes);
  const inherited = [...Object.values(pipes), ...command.inherited];
  for (const fd of inherited) setInherited(fd, true);
  const namespaces = Namespace.Pid | Namespace.Mount | (users === undefined ? 0 : Namespace.User);
  setBlockedSignals(ENDING_SIGNALS);
  const init = startNamespacedChild({ ...command, namespaces, users });
  setBlockedSignals([]);
  for (const fd of inherited) closeDescriptor(fd);
  const isReady = readSync(report.read, new Uint8Array(1)) > 0;
  ignoreSignals();
  closeStandardStreams();
  if (isReady) isSent(go.write, READY);
  const initStatus = waitForChild(init);
  const reported = new Int32Array(1);
  const length = readSync(report.read, reported);
  // PID 1 cannot end by the command's signal; it ended without a report if it got SIGKILL, or if
  // it could not start the command.
  endAs(length === reported.byteLength ? (reported[0] ?? 0) : initStatus);
}

/**
 * PID 1: starts the command, waits for it and reports its wait status.
 *
 * @throws {VsockboxError} CONFIG or REFUSED if /proc cannot be mounted.
 */
export function runAsInit({ report, go }: InitPipes, command: Reexecution): never {
  dieWithParent();
  setInherited(report, false);
  setInherited(go, false);
  mountOwnProc();
  protectProc();
  for (const fd of command.inherited) setInherited(fd, true);
  const start = prepareChild({ ...command, keepsBlockedSignals: false });
  if (!isSent(report, READY) || readSync(go, new Uint8Array(1)) === 0) endAs(0);
  const child = start();
  for (const fd of command.inherited) closeDescriptor(fd);
  const early = waitingSignals(ENDING_SIGNALS);
  ignoreSignals();
  for (const signal of early) sendSignal(child, signal);
  closeStandardStreams();
  const status = waitForChild(child);
  isSent(report, Int32Array.of(status));
  endAs(0);
}

/** Whether the other end was open. */
function isSent(fd: number, bytes: Uint8Array | Int32Array): boolean {
  try {
    return writeSync(fd, bytes) > 0;
  } catch {
    return false;
  }
}
