/** Recognises a service by its first bytes, for errors with a useful hint. */

/**
 * A service that has been recognised:
 *
 * - `agent`: the first frame of an agent's answer
 * - `vsock-shell`: a message of vsock-shell, by its magic number 0xCAFEBABE in little-endian order
 * - `hybrid`: the `OK <n>` of a hybrid-vsock handshake
 * - `ssh`, `http`, `tls`: the first bytes of these servers
 * - `text`: printable text of another kind, such as the commands of a guest-exec host
 * - `echo`: the bytes that were sent to it, which only their sender recognises
 */
export type RecognisedService =
  "agent" | "vsock-shell" | "hybrid" | "ssh" | "http" | "tls" | "text" | "echo";

/** Bytes that decide; more need not be kept. */
export const RECOGNISED_BYTES = 32;

const VSOCK_SHELL_MAGIC = [0xbe, 0xba, 0xfe, 0xca];

/** Stderr, ExecResult, Stdout, Ready, Exit, FileResult; Hello and what follows it. */
const AGENT_FRAME_TYPES = new Set([2, 3, 4, 6, 10, 17, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73]);

/** No first frame of an agent is longer, in bytes. */
const MAX_AGENT_FRAME_BYTES = 64 * 1024 * 1024;

/** TLS record type of an alert, and major version 3, RFC 8446 section 5.1. */
const TLS_ALERT = [0x15, 0x03];

/** Returns the service that sent these bytes; undefined for none, or for bytes of none of these. */
export function recogniseService(head: Uint8Array): RecognisedService | undefined {
  if (head.length === 0) return undefined;
  if (beginsWith(head, VSOCK_SHELL_MAGIC)) return "vsock-shell";
  if (isAgentFrame(head)) return "agent";
  if (beginsWith(head, TLS_ALERT)) return "tls";
  const text = printableText(head);
  if (text === undefined) return undefined;
  if (text.startsWith("SSH-")) return "ssh";
  if (/^HTTP\/|^<(!doctype|html)/i.test(text)) return "http";
  return /^OK +[0-9]{1,10}\r?\n/.test(text) ? "hybrid" : "text";
}

function beginsWith(bytes: Uint8Array, start: readonly number[]): boolean {
  return bytes.length >= start.length && start.every((byte, index) => bytes[index] === byte);
}

function isAgentFrame(head: Uint8Array): boolean {
  if (head.length < 5 || !AGENT_FRAME_TYPES.has(head[0] ?? 0)) return false;
  const length = new DataView(head.buffer, head.byteOffset).getUint32(1);
  return length <= MAX_AGENT_FRAME_BYTES;
}

/** The bytes as text if they are UTF-8, cut anywhere, without control characters but white space. */
function printableText(head: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(head, { stream: true });
    // oxlint-disable-next-line no-control-regex
    return text === "" || /[\u0000-\u0008\u000E-\u001F\u007F-\u009F]/.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}
