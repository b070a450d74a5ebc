/** The commands that a host sends on one connection, in either mode. */
import { VsockboxError } from "../errors.ts";
import { formatPeer } from "../io/peer.ts";
import { withDeadline } from "../io/deadline.ts";
import type { SocketStream } from "../io/stream.ts";
import { DisposableReader } from "../protocols/guest-exec/disposable.ts";
import { CommandDecoder } from "../protocols/guest-exec/frame.ts";

/** How commands are read. */
export interface ReceiveOptions {
  persistent: boolean;
  /**
   * In disposable mode, how long the host must be silent after its first bytes until the command
   * counts as complete, in milliseconds.
   */
  settleMs: number;
  /** How long to wait for bytes of the host; undefined: without end. */
  idleMs: number | undefined;
}

/**
 * The host's commands, one after the other: the next one is read when it is asked for.
 *
 * @throws {VsockboxError} BAD_DATA for an invalid command, TIMEOUT if the host sends nothing for
 * too long, TRANSPORT if the connection breaks.
 */
export function receivedCommands(
  stream: SocketStream,
  options: ReceiveOptions,
): AsyncGenerator<Uint8Array> {
  return options.persistent ? framed(stream, options) : single(stream, options);
}

async function* framed(
  stream: SocketStream,
  { idleMs }: ReceiveOptions,
): AsyncGenerator<Uint8Array> {
  const decoder = new CommandDecoder();
  for (;;) {
    const chunk = await readWithin(stream, idleMs);
    if (chunk === undefined) return decoder.finish();
    yield* decoder.push(chunk);
  }
}

async function* single(
  stream: SocketStream,
  { idleMs, settleMs }: ReceiveOptions,
): AsyncGenerator<Uint8Array> {
  const reader = new DisposableReader();
  let chunk = await readWithin(stream, idleMs);
  while (chunk !== undefined) {
    reader.push(chunk);
    const next = stream.read();
    // It is not awaited if the host stays silent.
    next.catch(() => undefined);
    chunk = await Promise.race([next, Bun.sleep(settleMs).then(() => undefined)]);
  }
  yield reader.finish();
}

function readWithin(
  stream: SocketStream,
  milliseconds: number | undefined,
): Promise<Uint8Array | undefined> {
  return withDeadline(stream.read(), {
    milliseconds,
    timeoutError: () =>
      new VsockboxError({
        code: "TIMEOUT",
        operation: "receive a command from",
        address: formatPeer(stream.peer),
        message: `the host sent nothing for ${(milliseconds ?? 0) / 1000} s`,
      }),
    onGiveUp: (reason) => stream.abort(reason),
  });
}
