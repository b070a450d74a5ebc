/** A command on a pseudo-terminal of its own. */
import { chownSync } from "node:fs";
import { foregroundGroup, openPty, setWindowSize, type WindowSize } from "../ffi/pty.ts";
import { closeDescriptor, duplicateDescriptor } from "../ffi/socket.ts";
import { PipeReader, PipeWriter } from "./pipe.ts";
import { ProcessGroup } from "./process-group.ts";
import { resolveSpawn, type SpawnRequest, startError } from "./spawn.ts";

/** A running command whose standard streams are one terminal. */
export class TerminalChild extends ProcessGroup {
  readonly input: PipeWriter;
  readonly output: PipeReader;
  readonly #master: number;
  #closed = false;

  constructor(subprocess: Bun.Subprocess, master: number, readerDescriptor: number) {
    super(subprocess);
    this.#master = master;
    this.input = new PipeWriter(master);
    this.output = new PipeReader(readerDescriptor);
  }

  /** Changes the size; the foreground programs get SIGWINCH. */
  resize(size: WindowSize): void {
    if (!this.#closed) setWindowSize(this.#master, size);
  }

  /** Sends a signal to what runs in the foreground, as a key like Ctrl-C does. */
  signalForeground(signal: number): void {
    if (!this.#closed) this.signalGroup(signal, foregroundGroup(this.#master));
  }

  /** Hangs up: what still has the terminal gets SIGHUP. */
  async closeTerminal(): Promise<void> {
    this.#closed = true;
    this.input.close();
    await this.output.close();
  }
}

/**
 * Starts a command on a new terminal, which is its controlling one and belongs to its user.
 *
 * @throws {VsockboxError} CONFIG as `spawnCommand` does, and where no terminal can be had.
 */
export function spawnOnTerminal(request: SpawnRequest, size: WindowSize): TerminalChild {
  const { argv, options } = resolveSpawn(request, true);
  const { master, slave, path } = openPty(size);
  let reader: number | undefined;
  try {
    reader = duplicateDescriptor(master);
    if (request.user !== undefined) chownSync(path, request.user.uid, request.user.gid);
    const subprocess = Bun.spawn([...argv], {
      ...options,
      stdio: [slave, slave, slave],
      detached: true,
    });
    return new TerminalChild(subprocess, master, reader);
  } catch (thrown) {
    closeDescriptor(master);
    if (reader !== undefined) closeDescriptor(reader);
    throw startError(thrown, argv[0]);
  } finally {
    closeDescriptor(slave);
  }
}
