/** Recognises a service by its first bytes, for errors with a useful hint. */

/**
 * A service that has been recognised:
 *
 * - `agent`: the first frame of an agent's answer
 * - `vsock-shell`: a message of vsock-shell, by its magic number 0xCAFEBABE in little-endian order
 * - `bench`: an answer of `vsockbox bench serve`
 * - `hybrid`: the `OK <n>` of a hybrid-vsock handshake
 * - `ssh`, `http`, `tls`: the first bytes of these servers
 * - `text`: text of another kind, such as the commands of a guest-exec host or the banner of a terminal
 * - `echo`: the bytes that were sent to it, which only their sender recognises
 */
export type RecognisedService =
  "agent" | "vsock-shell" | "bench" | "hybrid" | "ssh" | "http" | "tls" | "text" | "echo";

/** Bytes that decide; more need not be kept. */
export const RECOGNISED_BYTES = 32;

const VSOCK_SHELL_MAGIC = [0xbe, 0xba, 0xfe, 0xca];

/** "VSBXBNAN", the magic of `bench/response.ts`. */
const BENCH_MAGIC = [0x56, 0x53, 0x42, 0x58, 0x42, 0x4e, 0x41, 0x4e];

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
  if (beginsWith(head, BENCH_MAGIC)) return "bench";
  if (isAgentFrame(head)) return "agent";
  if (beginsWith(head, TLS_ALERT)) return "tls";
  const text = readableText(head);
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

/** RFC 854: "interpret as command", and the commands that negotiate an option, WILL to DONT. */
const TELNET_IAC = 0xff;
const TELNET_WILL = 0xfb;
const TELNET_DONT = 0xfe;

/** A command and its option, in bytes. */
const TELNET_COMMAND_BYTES = 3;

/** Returns the size of the options that a Telnet server negotiates first, in bytes; 0 for another peer. */
function telnetBytes(head: Uint8Array): number {
  let begin = 0;
  while (head[begin] === TELNET_IAC && head.length >= begin + TELNET_COMMAND_BYTES) {
    const command = head[begin + 1] ?? 0;
    if (command < TELNET_WILL || command > TELNET_DONT) break;
    begin += TELNET_COMMAND_BYTES;
  }
  return begin;
}

/**
 * Control characters that no terminal is sent: all but bell, backspace, white space, SO and SI, and ESC,
 * which begins sequences such as colours.
 */
// oxlint-disable-next-line no-control-regex
const NOT_TEXT = /[\u0000-\u0006\u0010-\u001A\u001C-\u001F\u007F-\u009F]/;

/** The bytes as text if they are UTF-8, cut anywhere, that a terminal could be sent. */
function readableText(head: Uint8Array): string | undefined {
  const telnet = telnetBytes(head);
  // A greeting may be the negotiation alone.
  if (telnet > 0 && telnet > head.length - TELNET_COMMAND_BYTES) return "";
  try {
    const decoder = new TextDecoder("utf-8", { fatal: true });
    const text = decoder.decode(head.subarray(telnet), { stream: true });
    return text === "" || NOT_TEXT.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}
