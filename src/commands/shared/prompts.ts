/** What the prompts of commands share: they need a terminal, and leave it as it was. */
import { isCancel } from "@clack/prompts";
import { VsockboxError } from "../../errors.ts";
import { readAfterStop } from "../../process/raw-terminal.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { writeAll } from "../../ui/report.ts";

/** Keeps the terminal in order while prompts are shown, until disposed. */
export function promptSession(): Disposable {
  const session = new DisposableStack();
  session.use(readAfterStop());
  session.use(showCursorAtSignals());
  return session;
}

/** The prompts hide the cursor, and bring it back at their own end alone. */
function showCursorAtSignals(): Disposable {
  const show = () => {
    try {
      writeAll(1, Buffer.from("\u001B[?25h"));
    } catch {
      // The terminal was hung up. What follows the signal must happen all the same.
    }
  };
  const stop = () => {
    show();
    process.kill(process.pid, "SIGSTOP");
  };
  process.on("SIGTSTP", stop);
  const ending = onEndingSignal((signal) => {
    show();
    process.exit(statusOfSignal(signal));
  });
  return {
    [Symbol.dispose]() {
      process.off("SIGTSTP", stop);
      ending[Symbol.dispose]();
    },
  };
}

/** Rejects when the terminal is hung up without a signal to this process. The prompts wait on for keys. */
function hangUp(): { hungUp: Promise<never>; [Symbol.dispose](): void } {
  const { promise, reject } = Promise.withResolvers<never>();
  const onEnd = () => {
    reject(new VsockboxError({ code: "ABORTED", operation: "continue", message: "no terminal" }));
  };
  const events = ["end", "close", "error"] as const;
  for (const event of events) process.stdin.on(event, onEnd);
  return {
    hungUp: promise,
    [Symbol.dispose]() {
      for (const event of events) process.stdin.off(event, onEnd);
    },
  };
}

/**
 * Returns the answer of a prompt.
 *
 * @throws {VsockboxError} ABORTED if the user cancels it, or the terminal is hung up.
 */
export async function answerOf<T>(prompt: Promise<T | symbol>): Promise<Exclude<T, symbol>> {
  using terminal = hangUp();
  const value = await Promise.race([prompt, terminal.hungUp]);
  // The prompt keeps the terminal's input until its key is dealt with.
  await Bun.sleep(0);
  if (isCancel(value)) {
    throw new VsockboxError({ code: "ABORTED", operation: "continue", message: "cancelled" });
  }
  return value as Exclude<T, symbol>;
}
