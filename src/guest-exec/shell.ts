/** Running one command of the host with the guest's shell. */
import { WatchedOutput } from "../process/command-output.ts";
import { toVsockboxError, VsockboxError } from "../errors.ts";
import { closeDescriptor, openPipe } from "../ffi/socket.ts";
import { DEFAULT_PATH, ownEnvironment } from "../process/environment.ts";
import { type ExitStatus, STATUS_TIMED_OUT } from "../process/exit-status.ts";
import { isExecutable } from "../process/executable.ts";
import { PipeReader } from "../io/pipe.ts";
import { ProcessGroup } from "../process/process-group.ts";
import { STATUS_NOT_EXECUTABLE, STATUS_NOT_FOUND } from "../start-error.ts";
import { resolveSpawn, type StandardStream, startProcess } from "../process/spawn.ts";

/** After SIGTERM a command that ran out of time has this long before SIGKILL, in milliseconds. */
const TIMEOUT_GRACE_MS = 1000;

/** The usual path of the shell; PATH is searched if it does not exist. */
const USUAL_SHELL = "/bin/sh";

/**
 * The shell that commands are run with.
 *
 * @param given its path, if the user has named one.
 * @throws {VsockboxError} CONFIG if it does not exist or cannot be executed.
 */
export function findShell(given: string | undefined): string {
  const path = process.env["PATH"] ?? DEFAULT_PATH;
  const shell =
    given ?? (isExecutable(USUAL_SHELL) ? USUAL_SHELL : Bun.which("sh", { PATH: path }));
  if (shell !== null && isExecutable(shell)) return shell;
  throw new VsockboxError({
    code: "CONFIG",
    operation: "find shell",
    address: shell ?? USUAL_SHELL,
    message: "the program does not exist, or it cannot be executed",
    errno: "ENOENT",
    hint: "commands need a shell: put one (busybox has one) into the image, or name it with --shell PATH",
  });
}

/** Receives a command's output; each call resolves when more is accepted. */
export interface OutputSinks {
  onStdout(bytes: Uint8Array): Promise<void>;
  onStderr(bytes: Uint8Array): Promise<void>;
}

/** How a command ended. */
export interface CommandEnd {
  /** Its own status, 128 + N for signal N, 124 after a timeout. */
  code: number;
  /** The signal's name, if one ended it. */
  signal: string | undefined;
  timedOut: boolean;
  durationMs: number;
  /** Why it could not be started. */
  error: VsockboxError | undefined;
}

/** Options of {@link runInShell}. */
export interface ShellOptions {
  shell: string;
  /** Undefined: this process's own output. */
  sinks: OutputSinks | undefined;
  /** In milliseconds. */
  timeoutMs: number | undefined;
  /** Called with the running command, so that signals can be passed on to it. */
  onStarted: (group: ProcessGroup) => void;
}

/** Runs `shell -c COMMAND`, byte for byte, as a session of its own. Never throws. */
export async function runInShell(
  command: Uint8Array,
  { shell, sinks, timeoutMs, onStarted }: ShellOptions,
): Promise<CommandEnd> {
  const begin = performance.now();
  const result = ({ code, signal }: ExitStatus, timedOut: boolean, error?: VsockboxError) => ({
    code,
    signal,
    timedOut,
    durationMs: performance.now() - begin,
    error,
  });
  const notStarted = (thrown: unknown) => {
    const error = toVsockboxError(thrown, "run command");
    const code = error.errno === "ENOENT" ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
    return result({ code, signal: undefined }, false, error);
  };
  let started: StartedCommand;
  try {
    started = start(shell, command, sinks !== undefined);
  } catch (thrown) {
    return notStarted(thrown);
  }
  const { group, outputs } = started;
  onStarted(group);
  let timedOut = false;
  let ending: Promise<void> | undefined;
  const timer =
    timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          timedOut = true;
          ending = group.terminateGroup(TIMEOUT_GRACE_MS);
        }, timeoutMs);
  if (outputs !== undefined && sinks !== undefined) {
    const { stdout, stderr } = outputs;
    void group.exited.then(() => {
      stdout.endWhenQuiet();
      stderr.endWhenQuiet();
    });
    await Promise.all([
      stdout.drain((bytes) => sinks.onStdout(bytes)),
      stderr.drain((bytes) => sinks.onStderr(bytes)),
    ]);
    await Promise.all([outputs.stdoutPipe.close(), outputs.stderrPipe.close()]);
  }
  const status = await group.exited;
  clearTimeout(timer);
  await ending;
  try {
    await group.started;
  } catch (thrown) {
    return notStarted(thrown);
  }
  return result(timedOut ? { ...status, code: STATUS_TIMED_OUT } : status, timedOut);
}

interface StartedCommand {
  group: ProcessGroup;
  outputs:
    | {
        stdout: WatchedOutput;
        stderr: WatchedOutput;
        stdoutPipe: PipeReader;
        stderrPipe: PipeReader;
      }
    | undefined;
}

function start(shell: string, command: Uint8Array, piped: boolean): StartedCommand {
  const resolved = resolveSpawn({
    argv: [shell, ...shellOptions(command), command],
    env: ownEnvironment(),
  });
  const spawn = (stdout: StandardStream, stderr: StandardStream) =>
    new ProcessGroup(startProcess(resolved, ["inherit", stdout, stderr]));
  if (!piped) return { group: spawn("inherit", "inherit"), outputs: undefined };
  const [out, err] = [openPipe(), openPipe()];
  try {
    const group = spawn(out.write, err.write);
    const [stdoutPipe, stderrPipe] = [new PipeReader(out.read), new PipeReader(err.read)];
    const [stdout, stderr] = [new WatchedOutput(stdoutPipe), new WatchedOutput(stderrPipe)];
    return { group, outputs: { stdout, stderr, stdoutPipe, stderrPipe } };
  } catch (thrown) {
    for (const { read } of [out, err]) closeDescriptor(read);
    throw thrown;
  } finally {
    for (const { write } of [out, err]) closeDescriptor(write);
  }
}

/** The shell would read a command that begins with a dash as an option. */
function shellOptions(command: Uint8Array): string[] {
  const [first] = command;
  return first === 0x2d || first === 0x2b ? ["-c", "--"] : ["-c"];
}
