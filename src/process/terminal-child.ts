/** A command on a pseudo-terminal of its own. */
import { chownSync } from "node:fs";
import { foregroundGroup, openPty, type Pty, setWindowSize, type WindowSize } from "../ffi/pty.ts";
import { closeDescriptor, duplicateDescriptor } from "../ffi/socket.ts";
import { getTermios, setTermios } from "../ffi/termios.ts";
import { type TerminalModes, withModes } from "../protocols/terminal/modes.ts";
import { PipeReader } from "../io/pipe.ts";
import { ProcessGroup } from "./process-group.ts";
import { asStartError } from "../start-error.ts";
import { resolveSpawn, type SpawnRequest, startError, startProcess } from "./spawn.ts";
import type { StartedProcess } from "./process-group.ts";
import { TerminalInput } from "./terminal-input.ts";

/** After SIGTERM a terminal's session has so long before the terminal is hung up, in milliseconds. */
export const HANG_UP_MS = 2000;

/** A running command whose standard streams are one terminal. */
export class TerminalChild extends ProcessGroup {
  readonly input: TerminalInput;
  readonly output: PipeReader;
  readonly #master: number;
  #closed = false;

  constructor(
    process: StartedProcess,
    { master, path }: Pick<Pty, "master" | "path">,
    readerDescriptor: number,
  ) {
    super(process);
    this.#master = master;
    this.input = new TerminalInput(master, path);
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

/** What a command's terminal is like when it begins. */
export interface NewTerminal extends WindowSize {
  /** Undefined: the kernel's own. */
  modes?: TerminalModes | undefined;
}

/**
 * Starts a command on a new terminal, which is its controlling one and belongs to its user.
 *
 * @throws {StartError} as `spawnCommand` does, and pty_failed if no terminal can be opened.
 */
export function spawnOnTerminal(request: SpawnRequest, terminal: NewTerminal): TerminalChild {
  const resolved = resolveSpawn(request, true);
  const { master, slave, path } = openTerminal(terminal);
  let reader: number | undefined;
  try {
    reader = duplicateDescriptor(master);
    const { owner } = resolved;
    if (owner !== undefined) chownSync(path, owner.uid, owner.gid);
    const process = startProcess(resolved, [slave, slave, slave]);
    return new TerminalChild(process, { master, path }, reader);
  } catch (thrown) {
    closeDescriptor(master);
    if (reader !== undefined) closeDescriptor(reader);
    throw startError(thrown, request.argv[0]);
  } finally {
    closeDescriptor(slave);
  }
}

function openTerminal({ modes = [], ...size }: NewTerminal): Pty {
  try {
    const pty = openPty(size);
    const settings = getTermios(pty.slave);
    if (settings !== undefined) setTermios(pty.slave, withModes(settings, modes));
    return pty;
  } catch (thrown) {
    throw asStartError(thrown, { kind: "pty_failed", stage: "terminal" });
  }
}
