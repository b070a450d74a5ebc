/** Files over the Go agent's frames: whole files, one connection and one frame each. */
import { VsockboxError } from "../../errors.ts";
import { showPath } from "../../files/bytes-path.ts";
import { formatAddress, type SocketAddress } from "../../net/address.ts";
import { DEFAULT_CONNECT_TIMEOUT_MS, dial, type DialOptions } from "../../net/dial.ts";
import { watchIdle } from "../../io/idle-timeout.ts";
import {
  decodeFileResponse,
  type FileInfo,
  type FileResponse,
  READ_FILE_MAX_BYTES,
} from "../../protocols/agent/file-messages.ts";
import { encodeBase64 } from "../../protocols/agent/base64.ts";
import { encodeJsonFrame, type Frame, frameName, FrameType } from "../../protocols/agent/frame.ts";
import { printable } from "../../text/printable.ts";
import { badField, type JsonObject } from "../../protocols/agent/json-fields.ts";
import { isFileName } from "../../protocols/agent/paths.ts";
import { FrameConnection } from "../channel/frame-connection.ts";
import type { FrameExchange } from "../channel/frame-exchange.ts";
import { refusedBy } from "./handshake.ts";

/** Limit of the text that an agent sends in Stderr frames instead of an answer, in UTF-16 units. */
const MAX_REASON_CHARACTERS = 4096;

/** The requests as operations, for errors. */
const OPERATIONS = {
  [FrameType.WriteFile]: "write",
  [FrameType.ReadFile]: "read",
  [FrameType.ListFiles]: "list",
} as const;

/** Sends one request for files over a connection of its own, and returns the answer. */
export type AskForFiles = (
  type: keyof typeof OPERATIONS,
  request: JsonObject & { path: string },
) => Promise<FileResponse>;

/** Returns the way to ask an agent at an address, with a connection for each request. */
function askAt(address: SocketAddress, options: DialOptions): AskForFiles {
  return async (type, request) => {
    const stream = await dial(address, options);
    const connection = new FrameConnection(stream);
    if (options.signal !== undefined) stream.abortOn(options.signal);
    try {
      return await askOver(connection, formatAddress(address), {
        next: () => nextOf(connection, options),
      })(type, request);
    } finally {
      stream.abort();
    }
  };
}

/**
 * Returns the way to send one request over a connection, which stays open.
 *
 * @param shown the agent's address, as errors show it.
 * @param options `next` reads the next frame, if another way than that of the connection is needed.
 */
export function askOver(
  connection: FrameExchange,
  shown: string,
  { next = () => connection.next() }: { next?: () => Promise<Frame | undefined> } = {},
): AskForFiles {
  return async (type, request) => {
    // An agent may refuse the connection without reading the request: its reason is read.
    connection.sendEncoded(encodeJsonFrame(type, request)).catch(() => undefined);
    let stderrText = "";
    for (;;) {
      const frame = await next();
      if (frame?.type === FrameType.Stderr) {
        if (stderrText.length < MAX_REASON_CHARACTERS)
          stderrText += new TextDecoder().decode(frame.payload);
        continue;
      }
      if (frame?.type !== FrameType.FileResult) throw noAnswer(stderrText, frame?.type, shown);
      const response = decodeFileResponse(frame.payload);
      if (response.error === undefined) return response;
      throw new VsockboxError({
        code: "IO",
        operation: OPERATIONS[type],
        address: showPath(new TextEncoder().encode(request.path)),
        message: printable(response.error),
      });
    }
  };
}

/** Reads the next frame; the time limit applies only while no byte moves in either direction. */
async function nextOf(connection: FrameConnection, { timeoutMs }: DialOptions) {
  const idle = watchIdle(connection.stream, timeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS);
  try {
    return await connection.next();
  } finally {
    clearInterval(idle);
  }
}

function noAnswer(
  stderrText: string,
  type: Frame["type"] | undefined,
  address: string,
): VsockboxError {
  return (
    refusedBy(stderrText, address) ??
    new VsockboxError({
      code: type === undefined ? "TRANSPORT" : "BAD_DATA",
      operation: "query the agent",
      message:
        type === undefined
          ? "it closed the connection without an answer"
          : `it answered with an unexpected ${frameName(type)} frame`,
    })
  );
}

/** The path as text: that agent's JSON cannot carry other bytes. */
function textPath(path: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(path);
  } catch {
    throw new VsockboxError({
      code: "UNAVAILABLE",
      operation: "send the path",
      address: showPath(path),
      message: "this agent accepts only UTF-8",
    });
  }
}

/**
 * Writes a whole file of at most 16 MiB.
 *
 * @throws {VsockboxError} IO with the agent's error; UNAVAILABLE if the file is too large.
 */
export function writeOldFile(
  address: SocketAddress,
  options: DialOptions,
  path: Uint8Array,
  content: Uint8Array,
  mode: number,
): Promise<void> {
  return sendWholeFile(askAt(address, options), path, { content, mode });
}

/**
 * Reads a whole file of at most 16 MiB.
 *
 * @throws {VsockboxError} IO with the agent's error.
 */
export function readOldFile(
  address: SocketAddress,
  options: DialOptions,
  path: Uint8Array,
): Promise<Uint8Array> {
  return receiveWholeFile(askAt(address, options), path);
}

/**
 * Lists a directory.
 *
 * @throws {VsockboxError} IO with the agent's error.
 */
export function listOldDirectory(
  address: SocketAddress,
  options: DialOptions,
  path: Uint8Array,
): Promise<readonly FileInfo[]> {
  return receiveList(askAt(address, options), path);
}

/** As {@link writeOldFile}, over a connection. */
export async function sendWholeFile(
  ask: AskForFiles,
  path: Uint8Array,
  { content, mode }: { content: Uint8Array; mode: number },
): Promise<void> {
  if (content.length > READ_FILE_MAX_BYTES) {
    throw new VsockboxError({
      code: "UNAVAILABLE",
      operation: "write",
      address: showPath(path),
      message: `this agent does not accept files above ${READ_FILE_MAX_BYTES} bytes`,
      hint: "with `vsockbox agent` in the guest there is no limit",
    });
  }
  const request = { path: textPath(path), content: encodeBase64(content), mode };
  await ask(FrameType.WriteFile, request);
}

/** As {@link readOldFile}, over a connection. */
export async function receiveWholeFile(ask: AskForFiles, path: Uint8Array): Promise<Uint8Array> {
  const response = await ask(FrameType.ReadFile, { path: textPath(path) });
  return response.content ?? new Uint8Array(0);
}

/** As {@link listOldDirectory}, over a connection. */
export async function receiveList(
  ask: AskForFiles,
  path: Uint8Array,
): Promise<readonly FileInfo[]> {
  const { files = [] } = await ask(FrameType.ListFiles, { path: textPath(path) });
  const odd = files.find(({ name }) => !isFileName(Buffer.from(name)));
  if (odd === undefined) return files;
  throw badField("FileResult", "the agent sent a name that a directory cannot have");
}
