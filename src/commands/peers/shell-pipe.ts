/** A command on the server's terminal for a caller that has none: scripts and pipes. */
import { toVsockboxError, VsockboxError } from "../../errors.ts";
import { STATUS_BROKEN_PIPE } from "../../process/exit-status.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { isBrokenPipe, standardInput, StandardOutput } from "../../io/stdio.ts";
import type { RemoteShell } from "../../vsock-shell/remote-shell.ts";
import { eventOutput } from "../shared/json-output.ts";

/** What Ctrl-C and Ctrl-D type. */
const INTERRUPT_KEY = 0x03;
const END_KEY = 0x04;
const LINE_FEED = 0x0a;

/**
 * Joins standard input and output to the command; the end of the input is typed as Ctrl-D, since a
 * terminal has no other.
 *
 * @param json print an object a line instead of the bytes.
 * @returns the command's exit status.
 */
export async function runPiped(remote: RemoteShell, json: boolean): Promise<number> {
  let left: number | undefined;
  const leave = (status: number) => {
    left ??= status;
    remote.abort(
      new VsockboxError({
        code: "ABORTED",
        operation: "run command",
        message: "the session was closed",
      }),
    );
  };
  let interrupts = 0;
  using _signals = onEndingSignal((signal) => {
    if (signal === "SIGINT" && ++interrupts === 1) {
      void remote.type(new Uint8Array([INTERRUPT_KEY])).catch(() => undefined);
    } else leave(statusOfSignal(signal));
  });
  const begin = performance.now();
  const output = new StandardOutput(1);
  const events = json ? eventOutput(output) : undefined;
  // Without its end, which is typed, the command would wait for ever.
  void sendInput(remote).catch((thrown: unknown) => remote.abort(toVsockboxError(thrown, "send")));
  try {
    const status = await remote.run((bytes) =>
      events === undefined ? output.write(bytes) : events.onStdout(bytes),
    );
    await events?.onExit({
      exit_code: status,
      signal: null,
      timed_out: false,
      duration_ms: Math.round(performance.now() - begin),
    });
    return status;
  } catch (thrown) {
    if (left !== undefined) return left;
    if (isBrokenPipe(thrown)) {
      leave(STATUS_BROKEN_PIPE);
      return STATUS_BROKEN_PIPE;
    }
    await events?.onError(toVsockboxError(thrown)).catch(() => undefined);
    throw thrown;
  }
}

async function sendInput(remote: RemoteShell): Promise<void> {
  let last = LINE_FEED;
  for await (const bytes of standardInput()) {
    await remote.type(bytes);
    last = bytes.at(-1) ?? last;
  }
  // After an unfinished line the first one only submits that line.
  const keys = last === LINE_FEED ? [END_KEY] : [END_KEY, END_KEY];
  await remote.type(new Uint8Array(keys));
}
