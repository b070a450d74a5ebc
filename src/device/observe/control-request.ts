/**
 * One HTTP request to the control socket of a VM of `hybrid-proxy` (src/protocols/hybrid/control.ts), or of
 * an export.
 */
import { type Operation } from "../../operations.ts";
import { lstatSync } from "node:fs";
import { toVsockboxError, VsockboxError } from "../../errors.ts";
import { parseJson } from "../../json/bounded-json.ts";
import { dial } from "../../net/dial.ts";
import { withDeadline } from "../../io/deadline.ts";
import type { SocketStream } from "../../io/stream.ts";
import { readFailure } from "../../protocols/hybrid/control.ts";
import { type HttpResponse, HttpResponseReader } from "../../protocols/http/response.ts";

/** Default timeout of the response, in milliseconds. */
const ANSWER_MS = 5000;

/** Limit of the response in bytes: a state has some 300 bytes per connection. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

/** A request. */
export interface ControlRequest {
  /** For errors. */
  operation: Operation;
  path: "/status" | "/capture" | `/packets/lost?stream=${string}`;
  method?: "GET" | "PUT" | "DELETE";
  body?: string;
  /** The command whose process is asked, for hints (default: hybrid-proxy). */
  service?: "hybrid-proxy" | "export";
  /** For connecting and the whole response, in milliseconds (default: 5,000). */
  timeoutMs?: number;
}

/**
 * Sends a request to the process that serves a control socket, which has to run as this user or root.
 * Root may send it to processes of others as well, if they own the socket's file.
 *
 * @returns the response as JSON of any shape.
 * @throws {VsockboxError} UNAVAILABLE, REFUSED (another user listens there), TIMEOUT, BAD_DATA, and
 * the error of the response.
 */
export async function requestControl(control: string, request: ControlRequest): Promise<unknown> {
  const { operation, timeoutMs = ANSWER_MS, service = "hybrid-proxy" } = request;
  const deadline = performance.now() + timeoutMs;
  let response: HttpResponse;
  try {
    const stream = await dialControl(control, timeoutMs);
    try {
      response = await withDeadline(exchange(stream, request), {
        milliseconds: Math.max(0, deadline - performance.now()),
        timeoutError: () =>
          new VsockboxError({
            ...{ code: "TIMEOUT", operation, address: control, message: "no response" },
            hint: `\`vsockbox ${service} status\` without a path asks all that run`,
          }),
        onGiveUp: (reason) => stream.abort(reason),
      });
    } finally {
      stream.abort();
    }
  } catch (thrown) {
    const error = toVsockboxError(thrown, operation);
    // A response that is not HTTP comes from another program.
    if (error.code !== "BAD_DATA") throw error;
    throw new VsockboxError({ operation, address: control, ...readFailure(undefined) });
  }
  if (response.status === 200) return jsonOf(response.body);
  throw controlError(operation, control, response.body);
}

/**
 * Connects to a control socket.
 *
 * @throws {VsockboxError} as {@link requestControl}, but for its response.
 */
export function dialControl(control: string, timeoutMs = ANSWER_MS): Promise<SocketStream> {
  return dial({ kind: "unix", path: control }, { timeoutMs, socketOwners: ownersFor(control) });
}

/**
 * Returns the error that the body of a response describes.
 *
 * @param body of another program it is not used.
 */
export function controlError(
  operation: Operation,
  control: string,
  body: Uint8Array,
): VsockboxError {
  return new VsockboxError({ operation, address: control, ...readFailure(jsonOf(body)) });
}

/** Root trusts the owner of the socket's file, such as the user of a device with `--user`. */
function ownersFor(control: string): number[] {
  if (process.geteuid?.() !== 0) return [];
  try {
    return [lstatSync(control).uid];
  } catch {
    return [];
  }
}

async function exchange(
  stream: SocketStream,
  { path, method = "GET", body = "" }: ControlRequest,
): Promise<HttpResponse> {
  const payload = Buffer.from(body);
  const head = [
    `${method} ${path} HTTP/1.1`,
    "Host: localhost",
    "Connection: close",
    ...(method === "PUT" ? [`Content-Length: ${payload.length}`] : []),
  ];
  await stream.write(Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`), payload]));
  const reader = new HttpResponseReader(MAX_ANSWER_BYTES);
  for await (const chunk of stream) {
    const response = reader.push(chunk);
    if (response !== undefined) return response;
  }
  return reader.end();
}

/** Returns undefined for anything but JSON, as another program may send it. */
function jsonOf(body: Uint8Array): unknown {
  try {
    return parseJson("answer", body);
  } catch {
    return undefined;
  }
}
