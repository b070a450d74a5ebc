/** The settings of a terminal: ioctl_tty(2), struct termios of asm-generic/termbits.h. */
import { systemError } from "./errno.ts";
import { lastErrno, libc, ptr } from "./libc.ts";
import type { WindowSize } from "./pty.ts";

const TCGETS = 0x5401;
const TCSETS = 0x5402;
const TIOCGWINSZ = 0x5413;

/** NCCS of the kernel, and the size of its struct. */
const CHARACTERS = 19;
const TERMIOS_BYTES = 36;
const OUTPUT_OFFSET = 4;
const CONTROL_OFFSET = 8;
const LOCAL_OFFSET = 12;
const LINE_OFFSET = 16;
const CHARACTERS_OFFSET = 17;

/** All settings of a terminal. */
export interface Termios {
  /** c_iflag. */
  input: number;
  /** c_oflag. */
  output: number;
  /** c_lflag. */
  local: number;
  /** c_cc. */
  characters: Uint8Array;
  /** c_cflag. */
  control: number;
  /** c_line. */
  line: number;
}

/** Returns the settings of a terminal; undefined if `fd` is not one. */
export function getTermios(fd: number): Termios | undefined {
  const view = new DataView(new ArrayBuffer(TERMIOS_BYTES));
  if (libc().ioctl(fd, TCGETS, ptr(view)) < 0) return undefined;
  return {
    input: view.getUint32(0, true),
    output: view.getUint32(OUTPUT_OFFSET, true),
    control: view.getUint32(CONTROL_OFFSET, true),
    local: view.getUint32(LOCAL_OFFSET, true),
    line: view.getUint8(LINE_OFFSET),
    characters: new Uint8Array(
      view.buffer.slice(CHARACTERS_OFFSET, CHARACTERS_OFFSET + CHARACTERS),
    ),
  };
}

/**
 * Changes the settings of a terminal at once, without waiting for its output.
 *
 * @throws {VsockboxError} IO if `fd` is not a terminal, or its other end is closed.
 */
export function setTermios(fd: number, settings: Termios): void {
  const view = new DataView(new ArrayBuffer(TERMIOS_BYTES));
  view.setUint32(0, settings.input, true);
  view.setUint32(OUTPUT_OFFSET, settings.output, true);
  view.setUint32(CONTROL_OFFSET, settings.control, true);
  view.setUint32(LOCAL_OFFSET, settings.local, true);
  view.setUint8(LINE_OFFSET, settings.line);
  new Uint8Array(view.buffer).set(settings.characters, CHARACTERS_OFFSET);
  if (libc().ioctl(fd, TCSETS, ptr(view)) === 0) return;
  throw systemError(lastErrno(), { operation: "change terminal", code: "IO" });
}

/** Returns the size of a terminal; undefined if `fd` is not one, or has no size. */
export function getWindowSize(fd: number): WindowSize | undefined {
  const size = new Uint16Array(new ArrayBuffer(8));
  if (libc().ioctl(fd, TIOCGWINSZ, ptr(size)) < 0) return undefined;
  const [rows = 0, cols = 0] = size;
  return rows === 0 || cols === 0 ? undefined : { rows, cols };
}
