/** Payloads that are numbers: `struct winsize`, and the exit status. */
import { badShellMessage } from "./message.ts";

/** A terminal's size in characters. */
export interface ShellWindowSize {
  rows: number;
  cols: number;
}

/** u16 rows, cols, xpixel, ypixel, little-endian. */
const WINSIZE_BYTES = 8;

/** i32, little-endian. */
const STATUS_BYTES = 4;

/** A size as `struct winsize`, without pixels. */
export function encodeWindowSize({ rows, cols }: ShellWindowSize): Uint8Array {
  const payload = new DataView(new ArrayBuffer(WINSIZE_BYTES));
  payload.setUint16(0, rows, true);
  payload.setUint16(2, cols, true);
  return new Uint8Array(payload.buffer);
}

/**
 * Reads a `struct winsize`; its pixels are ignored.
 *
 * @throws {VsockboxError} BAD_DATA.
 */
export function decodeWindowSize(data: Uint8Array): ShellWindowSize {
  if (data.length !== WINSIZE_BYTES) {
    throw badShellMessage(`a WindowSize message has ${data.length} bytes, not ${WINSIZE_BYTES}`);
  }
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  return { rows: view.getUint16(0, true), cols: view.getUint16(2, true) };
}

/** The exit code, or 128 + N for signal N, as CLIENT_END carries it. */
export function encodeStatus(status: number): Uint8Array {
  const payload = new DataView(new ArrayBuffer(STATUS_BYTES));
  payload.setInt32(0, status, true);
  return new Uint8Array(payload.buffer);
}

/**
 * Reads the payload of CLIENT_END; undefined if it is empty, as from a C server.
 *
 * @throws {VsockboxError} BAD_DATA.
 */
export function decodeStatus(data: Uint8Array): number | undefined {
  if (data.length === 0) return undefined;
  if (data.length !== STATUS_BYTES) {
    throw badShellMessage(`a ClientEnd message has ${data.length} bytes, not 0 or ${STATUS_BYTES}`);
  }
  return new DataView(data.buffer, data.byteOffset, data.length).getInt32(0, true);
}
