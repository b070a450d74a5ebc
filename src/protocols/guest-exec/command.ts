/** A command of the guest-exec protocol: bytes for the guest's shell, the same in both modes. */
import { VsockboxError } from "../../errors.ts";

/** Default port of the host that the guest connects to, as in vsock_guest_exec. */
export const GUEST_EXEC_PORT = 1024;

/** Longest command in bytes, as vsock_guest_exec has it. */
export const COMMAND_MAX_BYTES = 2048;

/**
 * Longest command in bytes that the C program vsock_guest_exec runs as it was sent. It has a buffer
 * of 2,048 bytes: in persistent mode it writes a NUL after the command, past the buffer at 2,048; in
 * disposable mode it passes the buffer to system(3) and relies on a NUL from the host.
 */
export const C_PROGRAM_MAX_BYTES = 2047;

const NUL = 0x00;
const NEWLINE = 0x0a;

/** An error of what the peer sent. */
export function badCommand(message: string): VsockboxError {
  return new VsockboxError({ code: "BAD_DATA", operation: "read command", message });
}

/**
 * Returns the command without trailing bytes of senders: NULs of a C string or of a whole buffer, and
 * newlines.
 */
export function trimCommand(bytes: Uint8Array): Uint8Array {
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1] === NUL || bytes[end - 1] === NEWLINE)) end--;
  return bytes.subarray(0, end);
}

/**
 * The bytes as a command that can be run whole.
 *
 * @throws {VsockboxError} BAD_DATA for a NUL inside it: no program can have that in an argument,
 * and the part before it alone is not the command that was sent.
 */
export function receivedCommand(bytes: Uint8Array): Uint8Array {
  const command = trimCommand(bytes);
  const nul = command.indexOf(NUL);
  if (nul === -1) return command;
  throw badCommand(`a NUL byte inside the command, after ${nul} of ${command.length} bytes`);
}

/**
 * Returns what goes over the wire in disposable mode: the command and, if it fits into 2,048 bytes, a
 * NUL. Without it the C program runs whatever its uninitialised buffer holds after the command.
 */
export function encodeDisposable(command: Uint8Array): Uint8Array {
  if (command.length > C_PROGRAM_MAX_BYTES) return command;
  const bytes = new Uint8Array(command.length + 1);
  bytes.set(command);
  return bytes;
}

/**
 * Returns why a command cannot be sent; undefined if it can.
 *
 * @param persistent in disposable mode an empty command is invalid.
 */
export function whyUnsendable(command: Uint8Array, persistent: boolean): string | undefined {
  if (command.length > COMMAND_MAX_BYTES) {
    return `it has ${command.length} bytes, and guests accept at most ${COMMAND_MAX_BYTES}`;
  }
  if (command.includes(NUL)) return "it has a NUL byte";
  return command.length === 0 && !persistent ? "it is empty" : undefined;
}
