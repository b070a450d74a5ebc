/**
 * Starts a service in the background: this program again in a new session, which reports over a
 * pipe when it is ready or why it will not be.
 */
import { closeSync } from "node:fs";
import { EXIT_STATUS, toVsockboxError, VsockboxError } from "../../errors.ts";
import { closeDescriptor, openPipe, writeDescriptor } from "../../ffi/socket.ts";
import { withDeadline } from "../../io/deadline.ts";
import { exitStatus } from "../exit-status.ts";
import { openLogFile } from "./log-file.ts";
import { PipeReader } from "../../io/pipe.ts";
import { startError } from "../spawn.ts";
import { selfCommand } from "../self.ts";

/** Names the descriptor of the pipe to the child. */
const READY_VARIABLE = "VSOCKBOX_READY_FD";

/** The descriptor that the child gets for it, the first after the standard streams. */
const CHILD_DESCRIPTOR = 3;

/** Default limit until a daemon is ready, in milliseconds. */
export const DEFAULT_READY_TIMEOUT_MS = 10_000;

/** A child that was not ready in time has this long between SIGTERM and SIGKILL, in milliseconds. */
const KILL_GRACE_MS = 1000;

/** Options of {@link startDaemon}. */
export interface DaemonOptions {
  readyTimeoutMs?: number | undefined;
  /** Receives standard output and standard error; undefined: they are discarded. */
  logFile?: string | undefined;
}

/** How the start of a daemon ended. */
export type DaemonStart =
  | { kind: "ready"; pid: number }
  | {
      kind: "failed";
      /** The child's report, or its end. */
      message: string;
      hint: string | undefined;
      /** The child's exit status, 128 + N for signal N. Never 0. */
      status: number;
    };

/** The one line that the child writes. */
type Report = { ready: true } | { ready: false; message: string; hint?: string };

/**
 * Starts this program again with `args`, in the background: a session of its own, standard input
 * from /dev/null. Resolves when the child is ready or has failed; the child stays when this process
 * ends.
 *
 * @throws {VsockboxError} TIMEOUT if the child does not report in time, and is ended; CANNOT_CREATE
 * if the log cannot be opened; CONFIG if the program cannot be started.
 */
export async function startDaemon(
  args: readonly string[],
  { readyTimeoutMs = DEFAULT_READY_TIMEOUT_MS, logFile }: DaemonOptions = {},
): Promise<DaemonStart> {
  const log = logFile === undefined ? undefined : openLogFile(logFile);
  const pipe = openPipe();
  const child = spawnDetached(args, { log, pipe });
  const reader = new PipeReader(pipe.read);
  try {
    const report = await withDeadline(readReport(reader), {
      milliseconds: readyTimeoutMs,
      timeoutError: () =>
        new VsockboxError({
          code: "TIMEOUT",
          operation: "start in the background",
          message: `it was not ready within ${readyTimeoutMs / 1000} seconds`,
          hint: logFile === undefined ? "--log-file keeps its messages" : `see ${logFile}`,
        }),
      onGiveUp: () => undefined,
    });
    if (report?.ready === true) return { kind: "ready", pid: child.pid };
    return await failure(child, report, logFile);
  } catch (thrown) {
    await end(child);
    throw thrown;
  } finally {
    await reader.close();
    child.unref();
  }
}

function spawnDetached(
  args: readonly string[],
  { log, pipe }: { log: number | undefined; pipe: { read: number; write: number } },
): Bun.Subprocess {
  const [program, ...rest] = selfCommand();
  try {
    return Bun.spawn([program, ...rest, ...args], {
      stdio: ["ignore", log ?? "ignore", log ?? "ignore", pipe.write],
      env: { ...process.env, [READY_VARIABLE]: String(CHILD_DESCRIPTOR) },
      detached: true,
    });
  } catch (thrown) {
    closeDescriptor(pipe.read);
    throw startError(thrown, program);
  } finally {
    closeDescriptor(pipe.write);
    if (log !== undefined) closeSync(log);
  }
}

/** The child's report; undefined if it ended without one. */
async function readReport(reader: PipeReader): Promise<Report | undefined> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of reader) {
    text += decoder.decode(chunk, { stream: true });
    const length = text.indexOf("\n");
    if (length !== -1) return JSON.parse(text.slice(0, length)) as Report;
  }
  return undefined;
}

async function failure(
  child: Bun.Subprocess,
  report: Report | undefined,
  logFile: string | undefined,
): Promise<DaemonStart> {
  // It is about to end by itself, and its own status is wanted.
  await Promise.race([child.exited, Bun.sleep(KILL_GRACE_MS)]);
  await end(child);
  const { code, signal } = exitStatus(child.exitCode, child.signalCode);
  const said = report?.ready === false ? report : undefined;
  const ending = signal === undefined ? `with status ${code}` : `by ${signal}`;
  return {
    kind: "failed",
    message: said?.message ?? `start in the background: it ended ${ending} before it was ready`,
    hint: said === undefined && logFile !== undefined ? `see ${logFile}` : said?.hint,
    status: code === 0 ? EXIT_STATUS.SOFTWARE : code,
  };
}

/** Ends the child if it still runs. */
async function end(child: Bun.Subprocess): Promise<void> {
  child.kill("SIGTERM");
  await Promise.race([child.exited, Bun.sleep(KILL_GRACE_MS)]);
  child.kill("SIGKILL");
  await child.exited;
}

/** Whether a {@link startDaemon} waits for this process. */
export function isDaemonStart(): boolean {
  return process.env[READY_VARIABLE] !== undefined;
}

/** Reports to a waiting {@link startDaemon} that all listeners are open. */
export function reportReady(): void {
  sendReport({ ready: true });
}

/** Reports to a waiting {@link startDaemon} why this process is about to end. */
export function reportFailure(thrown: unknown): void {
  const { message, hint } = toVsockboxError(thrown);
  sendReport({ ready: false, message, ...(hint === undefined ? {} : { hint }) });
}

/** The first report counts; without a waiting parent there is nothing to do. */
function sendReport(content: Report): void {
  const descriptor = Number(process.env[READY_VARIABLE]);
  delete process.env[READY_VARIABLE];
  if (!Number.isInteger(descriptor) || descriptor < CHILD_DESCRIPTOR) return;
  writeDescriptor(descriptor, new TextEncoder().encode(`${JSON.stringify(content)}\n`));
  closeDescriptor(descriptor);
}
