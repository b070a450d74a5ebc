/**
 * The head of an HTTP/1.1 or 1.0 request (RFC 9112) from bytes of any size, with bounds. Whatever two readers
 * could understand differently is an error: folded fields, bare CR, several Host fields.
 */
import { VsockboxError } from "../../errors.ts";

/** Largest request line and header fields together, in bytes. */
export const MAX_REQUEST_HEAD_BYTES = 8 * 1024;

const END_OF_HEAD = Buffer.from("\r\n\r\n");
const CRLF = Buffer.from("\r\n");

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const REQUEST_LINE = new RegExp(`^(${TOKEN}) ([!-~]+) HTTP/1\\.([01])$`);
const FIELD = new RegExp(`^(${TOKEN}):[ \\t]*(.*?)[ \\t]*$`);

/** A request without its body. */
export interface RequestHead {
  method: string;
  /** The path of its target, as it is written, without the query. */
  path: string;
  /** Whether the client sends another request on the connection. */
  keepsOpen: boolean;
  hasBody: boolean;
  /** Its size in bytes: the body, or the next request, begins there. */
  headBytes: number;
}

/**
 * Reads the beginning of a request.
 *
 * @returns undefined while it is incomplete.
 * @throws {VsockboxError} BAD_DATA for anything that is not a request, or beyond the bound.
 */
export function readRequestHead(bytes: Uint8Array): RequestHead | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // A robust server ignores an empty line before the request line: RFC 9112, 2.2.
  const begin = buffer.subarray(0, CRLF.length).equals(CRLF) ? CRLF.length : 0;
  const end = buffer.indexOf(END_OF_HEAD, begin);
  if (end > MAX_REQUEST_HEAD_BYTES || (end === -1 && bytes.length > MAX_REQUEST_HEAD_BYTES)) {
    throw bad(`its header fields have more than ${MAX_REQUEST_HEAD_BYTES} bytes`);
  }
  if (end === -1) return undefined;
  const [line = "", ...fields] = buffer.toString("latin1", begin, end).split("\r\n");
  return { ...parseHead(line, fields.map(parseField)), headBytes: end + END_OF_HEAD.length };
}

interface Field {
  name: string;
  value: string;
}

function parseField(line: string): Field {
  const [, name, value = ""] = FIELD.exec(line) ?? [];
  // oxlint-disable-next-line no-control-regex
  if (name === undefined || /[\u0000\r\n]/.test(value)) throw bad("it has a malformed field");
  return { name: name.toLowerCase(), value };
}

function parseHead(line: string, fields: readonly Field[]): Omit<RequestHead, "headBytes"> {
  const [, method, target = "", minor] = REQUEST_LINE.exec(line) ?? [];
  if (method === undefined) throw bad("it has no request line of HTTP/1.1");
  const valuesOf = (name: string) => fields.filter((field) => field.name === name);
  const hosts = valuesOf("host").length;
  if (hosts > 1 || (hosts === 0 && minor === "1")) throw bad("it does not have one Host field");
  const tokens = new Set(
    valuesOf("connection").flatMap(({ value }) =>
      value
        .toLowerCase()
        .split(",")
        .map((token) => token.trim()),
    ),
  );
  return {
    method,
    path: pathOf(target),
    keepsOpen: minor === "1" ? !tokens.has("close") : tokens.has("keep-alive"),
    hasBody:
      valuesOf("transfer-encoding").length > 0 ||
      valuesOf("content-length").some(({ value }) => value !== "0"),
  };
}

/** Targets are a path with a query, or a whole URL. */
function pathOf(target: string): string {
  const [, path = ""] = /^(?:https?:\/\/[^/?#]*)?([^?#]*)/i.exec(target) ?? [];
  return path === "" ? "/" : path;
}

function bad(message: string): VsockboxError {
  return new VsockboxError({ code: "BAD_DATA", operation: "read HTTP request", message });
}
