/**
 * The control socket of a VM of `hybrid-proxy`: HTTP on a Unix socket beside the one for the VMM.
 *
 * | request | answer |
 * | --- | --- |
 * | `GET /status` | 200, the VM's state |
 * | `PUT /capture` with a {@link CaptureRequest} | 200, what the capture is |
 * | `DELETE /capture` | 200, what the capture was, or null |
 * | `GET /packets?payload_bytes=N&stream=NAME` | 200, a pcap file of the packets from now on, until either end closes |
 * | `GET /packets/lost?stream=NAME` | 200, `{"packets_lost": N}`: packets that this open stream has lost |
 *
 * Anything else is answered with 4xx and a {@link ControlFailure}. All other bodies are JSON.
 */
import { EXIT_STATUS, type ErrorCode, VsockboxError } from "../../errors.ts";

/** The suffix after the path of `--socket`. */
export const CONTROL_SUFFIX = ".ctl";

/** The control socket of the VM whose VMM connects to `socket`. */
export function controlPathOf(socket: string): string {
  return `${socket}${CONTROL_SUFFIX}`;
}

/** What to capture. */
export interface CaptureRequest {
  /** Absolute: the two ends may be in different directories. */
  file: string;
  /** Bytes of each payload that are kept. */
  payload_bytes?: number | undefined;
  /** An existing file is replaced. */
  force?: boolean | undefined;
}

/** Why something was not done. */
export interface ControlFailure {
  code: ErrorCode;
  message: string;
  hint?: string | undefined;
}

function bad(message: string): VsockboxError {
  return new VsockboxError({ code: "BAD_DATA", operation: "read control message", message });
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * Checks a body of `PUT /capture`.
 *
 * @param maxPayloadBytes the largest `payload_bytes`.
 * @throws {VsockboxError} BAD_DATA.
 */
export function readCaptureRequest(body: unknown, maxPayloadBytes: number): CaptureRequest {
  if (!isMap(body)) throw bad("the body is not a JSON object");
  const { file, payload_bytes: bytes, force } = body;
  if (typeof file !== "string" || !file.startsWith("/") || file.includes("\0")) {
    throw bad("file is not an absolute path");
  }
  if (force !== undefined && typeof force !== "boolean")
    throw bad("force is neither true nor false");
  if (bytes === undefined) return { file, force };
  if (
    typeof bytes !== "number" ||
    !Number.isInteger(bytes) ||
    bytes < 0 ||
    bytes > maxPayloadBytes
  ) {
    throw bad(`payload_bytes is not a whole number from 0 to ${maxPayloadBytes}`);
  }
  return { file, payload_bytes: bytes, force };
}

/**
 * Reads the parameter of `GET /packets`: bytes of each payload that are sent.
 *
 * @param maxPayloadBytes the largest value.
 * @throws {VsockboxError} BAD_DATA.
 */
export function readPayloadBytes(text: string | null, maxPayloadBytes: number): number {
  const bytes = /^[0-9]{1,9}$/.test(text ?? "") ? Number(text) : Infinity;
  if (bytes <= maxPayloadBytes) return bytes;
  throw bad(`payload_bytes is not a whole number from 0 to ${maxPayloadBytes}`);
}

/**
 * Reads the parameter `stream`: a name of up to 32 hexadecimal digits, which the reader of a stream chooses.
 *
 * @returns undefined if it is absent, as older readers leave it out.
 * @throws {VsockboxError} BAD_DATA.
 */
export function readStreamName(text: string | null): string | undefined {
  if (text === null) return undefined;
  if (/^[0-9a-f]{1,32}$/.test(text)) return text;
  throw bad("stream is not a name of up to 32 hexadecimal digits");
}

/** Reads a response of `GET /packets/lost`; undefined for any other. */
export function readStreamLoss(body: unknown): number | undefined {
  const { packets_lost: lost } = isMap(body) ? body : {};
  return Number.isSafeInteger(lost) && Number(lost) >= 0 ? Number(lost) : undefined;
}

/** Reads why something was not done; of another program's answer no more than that. */
export function readFailure(body: unknown): ControlFailure {
  const { code, message, hint } = isMap(body) ? body : {};
  const isKnown = typeof code === "string" && Object.hasOwn(EXIT_STATUS, code);
  return {
    code: isKnown ? (code as ErrorCode) : "BAD_DATA",
    message: typeof message === "string" ? message : "it is not a control socket of vsockbox",
    hint: typeof hint === "string" ? hint : undefined,
  };
}
