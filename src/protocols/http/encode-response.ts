/** Responses of a small HTTP server (RFC 9112). */

/** The statuses that it sends, with their reason phrases. */
const REASONS = {
  200: "OK",
  400: "Bad Request",
  404: "Not Found",
  405: "Method Not Allowed",
  500: "Internal Server Error",
} as const;

/** A response. */
export interface OutgoingResponse {
  status: keyof typeof REASONS;
  /** Its media type. */
  type: string;
  body: string;
  /** Methods that are allowed, of a 405. */
  allow?: string | undefined;
}

/** How a response is sent. */
export interface ResponseOptions {
  /** Whether the connection stays open for another request. */
  keepsOpen: boolean;
  /** Whether the body is left out, as for HEAD. */
  isHead: boolean;
  date: Date;
}

/** Returns the bytes of a response. */
export function encodeHttpResponse(
  { status, type, body, allow }: OutgoingResponse,
  { keepsOpen, isHead, date }: ResponseOptions,
): Uint8Array {
  const bytes = Buffer.from(body);
  const head = [
    `HTTP/1.1 ${status} ${REASONS[status]}`,
    `Date: ${date.toUTCString()}`,
    `Content-Type: ${type}`,
    `Content-Length: ${bytes.length}`,
    ...(allow === undefined ? [] : [`Allow: ${allow}`]),
    `Connection: ${keepsOpen ? "keep-alive" : "close"}`,
  ];
  const headBytes = Buffer.from(`${head.join("\r\n")}\r\n\r\n`, "latin1");
  return isHead ? headBytes : Buffer.concat([headBytes, bytes]);
}
