/**
 * C strings in messages, and the JSON object after their NUL, which the C programs never
 * see. Paths are bytes.
 */
import { VsockboxError } from "../../errors.ts";
import { printable } from "../../text/printable.ts";
import { parseObject, type JsonObject } from "../agent/json-fields.ts";
import { badShellMessage, MAX_SHELL_DATA_BYTES } from "./message.ts";

/**
 * Most bytes of an answer to a C client: it copies them into 300 bytes and appends a NUL.
 */
const MAX_ANSWER_BYTES = 299;

const SPACE = 0x20;

/** A C string, and the object after it. */
export interface Text {
  text: Uint8Array;
  extension: JsonObject | undefined;
}

/** Encodes a C string with its NUL, and an object after that. */
export function encodeText(text: Uint8Array | string, extension?: JsonObject): Uint8Array {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  const json = extension === undefined ? "" : new TextEncoder().encode(JSON.stringify(extension));
  const encoded = new Uint8Array(bytes.length + 1 + json.length);
  encoded.set(bytes);
  if (json !== "") encoded.set(json, bytes.length + 1);
  if (encoded.length > MAX_SHELL_DATA_BYTES) {
    throw new VsockboxError({
      code: "USAGE",
      operation: "send message",
      message: `it would have ${encoded.length} bytes, and ${MAX_SHELL_DATA_BYTES} are the most`,
      hint: "use a shorter command or shorter paths",
    });
  }
  return encoded;
}

/**
 * Reads a C string; without a NUL all of it is the string, as in the C programs.
 *
 * @throws {VsockboxError} BAD_DATA if something else than a JSON object follows the NUL.
 */
export function decodeText(data: Uint8Array): Text {
  const nul = data.indexOf(0);
  if (nul === -1) return { text: data, extension: undefined };
  const text = data.subarray(0, nul);
  const rest = data.subarray(nul + 1);
  if (rest.length === 0) return { text, extension: undefined };
  return { text, extension: parseObject("extension", rest) };
}

/** The directory of {@link UNSPEAKABLE_PAIR}, which C servers name when they refuse it. */
export const UNSPEAKABLE_DIRECTORY = "/-vsockbox-";

/**
 * Stands for paths with blanks, which the C programs cannot carry: a C server refuses it, since there
 * is neither such a source nor the destination's directory.
 */
export const UNSPEAKABLE_PAIR = `${UNSPEAKABLE_DIRECTORY}/- ${UNSPEAKABLE_DIRECTORY}/-`;

/** Whether the C programs can carry a path. */
export function isSpeakable(path: Uint8Array): boolean {
  return !path.includes(SPACE);
}

/** Source and destination of a transfer as the C programs write them. */
export function encodePair(source: Uint8Array, destination: Uint8Array): Uint8Array {
  return isSpeakable(source) && isSpeakable(destination)
    ? Buffer.concat([source, Buffer.from(" "), destination])
    : Buffer.from(UNSPEAKABLE_PAIR);
}

/**
 * Reads `SRC DST`.
 *
 * @throws {VsockboxError} BAD_DATA unless there is exactly one blank between two paths.
 */
export function decodePair(text: Uint8Array): { source: Uint8Array; destination: Uint8Array } {
  const blank = text.indexOf(SPACE);
  const source = text.subarray(0, Math.max(blank, 0));
  const destination = text.subarray(blank + 1);
  if (source.length === 0 || destination.length === 0) {
    throw badShellMessage("a transfer names no source and destination");
  }
  if (destination.includes(SPACE)) {
    throw badShellMessage("a path has a blank, which this form of the request cannot carry");
  }
  return { source, destination };
}

/** An answer to a START: granted, or the reason why not. */
export type Answer =
  { granted: true; extension: JsonObject | undefined } | { granted: false; reason: string };

/** Returns the answer `OK SRC DST`, truncated for a C client. */
export function encodeGrant(pair: Uint8Array, extension?: JsonObject): Uint8Array {
  const text = Buffer.concat([Buffer.from("OK "), pair]);
  return encodeText(text.subarray(0, MAX_ANSWER_BYTES - 1), extension);
}

/** Returns the answer `KO reason`, truncated for a C client. */
export function encodeRefusal(reason: string): Uint8Array {
  const text = new TextEncoder().encode(`KO ${reason.replaceAll("\0", "?")}`);
  return encodeText(text.subarray(0, MAX_ANSWER_BYTES - 1));
}

/**
 * Reads an answer: as for the C client, what begins with OK grants.
 *
 * @throws {VsockboxError} BAD_DATA if it begins with neither OK nor KO.
 */
export function decodeAnswer(data: Uint8Array): Answer {
  const { text, extension } = decodeText(data);
  const words = new TextDecoder().decode(text);
  if (words.startsWith("OK")) return { granted: true, extension };
  if (words.startsWith("KO")) return { granted: false, reason: printable(words.slice(2).trim()) };
  throw badShellMessage("an answer to a transfer begins with neither OK nor KO");
}
