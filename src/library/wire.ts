/**
 * The Go vsock package's helpers for the agent's wire, on a connection of the caller: messages, one command,
 * one forwarded port, one file. An agent serves one request a connection, except `readMessage` and
 * `sendMessage`, of which a session has any number.
 */
import {
  type AskForFiles,
  askOver,
  receiveList,
  receiveWholeFile,
  sendWholeFile,
} from "../agent/client/go-files.ts";
import { requestPortForward } from "../agent/client/go-port-forward.ts";
import { VsockboxError } from "../errors.ts";
import type { FileKind } from "../files/facts.ts";
import { goFileKind, unixMode } from "../protocols/agent/file-messages.ts";
import { encodeRawFrame } from "../protocols/agent/frame.ts";
import { type Path, pathBytes } from "./path.ts";
import { FILE_STEPS, inWireSteps, MESSAGE_STEPS, PORT_FORWARD_STEPS } from "./wire-steps.ts";
import { type MessageLimits, type WireConn, WireExchange } from "./wire-exchange.ts";

/** What errors show for a connection whose address is not known. */
const SHOWN = "the agent";

const MAX_U8 = 0xff;

/** Mode of a file that is written without one. */
const WRITE_MODE = 0o644;

/** A message: a frame of the agent's wire. */
export interface WireMessage {
  /** One of the message types, 1 to 17 for the Go agent. */
  type: number;
  payload: Uint8Array;
}

/** An entry of a listed directory. */
export interface WireFile {
  name: string;
  type: FileKind;
  /** In bytes. */
  size: number;
  /** Permission bits. */
  mode: number;
}

/**
 * Reads exactly `byteCount` bytes, however they arrive. Bytes after them stay unread.
 *
 * @throws {VsockboxError} TRANSPORT if the input ends before, with the number of missing bytes; the errors
 * of the connection.
 */
export async function readFull(conn: WireConn, byteCount: number): Promise<Uint8Array> {
  if (!Number.isSafeInteger(byteCount) || byteCount < 0) {
    throw new RangeError(`${byteCount} is not a number of bytes`);
  }
  const bytes = new Uint8Array(byteCount);
  let filled = 0;
  while (filled < byteCount) {
    const chunk = await conn.read({ maxBytes: byteCount - filled });
    if (chunk === undefined) throw endedEarly(byteCount - filled, byteCount);
    bytes.set(chunk, filled);
    filled += chunk.length;
  }
  return bytes;
}

function endedEarly(missingBytes: number, byteCount: number): VsockboxError {
  return new VsockboxError({
    code: "TRANSPORT",
    operation: "read",
    message: `the peer closed ${missingBytes} of ${byteCount} bytes too early`,
  });
}

/**
 * Sends one message: `u8 type`, `u32 length` (big-endian), the payload, or a text as UTF-8.
 *
 * @throws {RangeError} for a type above 255.
 * @throws {VsockboxError} the errors of the connection.
 */
export async function sendMessage(
  conn: WireConn,
  type: number,
  payload: Uint8Array | string = "",
): Promise<void> {
  if (!Number.isInteger(type) || type < 0 || type > MAX_U8) {
    throw new RangeError(`${type} is not a message type: 0 to ${MAX_U8}`);
  }
  await conn.write(encodeRawFrame(type, bytesOf(payload)));
}

function bytesOf(payload: Uint8Array | string): Uint8Array {
  return typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
}

/**
 * Reads one message, and no byte after it; undefined if the input ends before a message.
 *
 * @throws {VsockboxError} TRANSPORT if the input ends inside a message; BAD_DATA for one above the limit, of
 * which nothing but its header has been read.
 */
export function readMessage(
  conn: WireConn,
  limits: MessageLimits = {},
): Promise<WireMessage | undefined> {
  return inWireSteps(MESSAGE_STEPS, () => wholeFrameOf(new WireExchange(conn, limits)));
}

async function wholeFrameOf(exchange: WireExchange): Promise<WireMessage | undefined> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for (;;) {
    const frame = await exchange.next();
    if (frame === undefined) return undefined;
    const { type, payload, prefix, frameBytes } = frame;
    if (pieces.length === 0) pieces.push(prefix);
    pieces.push(payload);
    bytes += payload.length;
    if (prefix.length + bytes === frameBytes) return { type, payload: Buffer.concat(pieces) };
  }
}

/**
 * Asks the agent to connect to a TCP port inside the guest. When it has, the connection carries the bytes of
 * that port, in both directions and with half-close.
 *
 * @param target `host` as the guest resolves it (default: 127.0.0.1).
 * @throws {VsockboxError} UNAVAILABLE with the agent's reason, TRANSPORT, BAD_DATA, and the errors of the
 * connection, which the caller closes then.
 */
export async function openPortForwardOn(
  conn: WireConn,
  { host = "127.0.0.1", port }: { host?: string; port: number },
): Promise<void> {
  await inWireSteps(PORT_FORWARD_STEPS, () =>
    requestPortForward(new WireExchange(conn), SHOWN, { host, port }),
  );
}

/**
 * Writes a file of at most 16 MiB in the guest; missing parent directories are made.
 *
 * @param options `mode` has the permission bits of a new file (default 0o644).
 * @throws {VsockboxError} IO with the agent's error, UNAVAILABLE for a larger file, TRANSPORT, BAD_DATA.
 */
export async function writeFileOn(
  conn: WireConn,
  path: Path,
  content: Uint8Array | string,
  { mode = WRITE_MODE }: { mode?: number } = {},
): Promise<void> {
  const file = { content: bytesOf(content), mode };
  await askFor(conn, (ask) => sendWholeFile(ask, pathBytes(path), file));
}

/**
 * Reads a file of at most 16 MiB in the guest.
 *
 * @throws {VsockboxError} IO with the agent's error, TRANSPORT, BAD_DATA.
 */
export function readFileOn(conn: WireConn, path: Path): Promise<Uint8Array> {
  return askFor(conn, (ask) => receiveWholeFile(ask, pathBytes(path)));
}

/**
 * Lists a directory in the guest, sorted by name.
 *
 * @throws {VsockboxError} IO with the agent's error, TRANSPORT, BAD_DATA.
 */
export async function listFilesOn(conn: WireConn, path: Path): Promise<WireFile[]> {
  const files = await askFor(conn, (ask) => receiveList(ask, pathBytes(path)));
  return files.map(({ name, size, mode, is_dir: isDirectory }) => ({
    name,
    type: isDirectory ? "directory" : goFileKind(mode),
    size,
    mode: unixMode(mode),
  }));
}

function askFor<T>(conn: WireConn, request: (ask: AskForFiles) => Promise<T>): Promise<T> {
  return inWireSteps(FILE_STEPS, async () => request(askOver(new WireExchange(conn), SHOWN)));
}
