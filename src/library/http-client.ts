/** HTTP requests over any address. */
import { VsockboxError } from "../errors.ts";
import { abortError } from "../io/deadline.ts";
import { Addr } from "./addr.ts";
import { type AddressLike, partsOf, profileOwners } from "./dial.ts";
import { assertDurations } from "./durations.ts";
import { ClientBridge } from "./http-bridge.ts";

/** Options of {@link httpClient}. */
export interface HttpClientOptions {
  /** For a connection and the handshake of a hybrid socket together, in milliseconds (default 10,000). */
  timeoutMs?: number | undefined;
  /**
   * Users besides this process's own and root, by uid, who may listen on a Unix socket that is connected
   * to, or `any`; without it those of the profile's `socket_owner`.
   */
  socketOwners?: "any" | readonly number[] | undefined;
}

/** A request, as for the platform's `fetch`. Redirects are returned, not followed. */
export interface HttpRequestOptions extends Omit<
  RequestInit,
  "redirect" | "keepalive" | "signal" | "body"
> {
  /** An async iterable is sent as it yields, in chunks. */
  body?: RequestInit["body"] | AsyncIterable<Uint8Array>;
  /** Fires to end the request, or the response's body. */
  signal?: AbortSignal | undefined;
}

/** The host in the URL of a path. */
const HOST = "localhost";

/** Connections to one address, which several requests use one after the other and side by side. */
export class HttpClient implements AsyncDisposable {
  readonly #address: Addr;
  readonly #bridge: ClientBridge;

  /** Made by {@link httpClient}. */
  constructor(target: AddressLike, { timeoutMs, socketOwners }: HttpClientOptions) {
    assertDurations({ timeoutMs });
    const address = partsOf(target);
    this.#address = new Addr(address);
    const owners = socketOwners ?? profileOwners(target);
    this.#bridge = new ClientBridge(address, { timeoutMs, socketOwners: owners });
  }

  /**
   * Sends a request; resolves when the response's headers have come. Connections are kept for the next one.
   *
   * @param path begins with a slash; or a URL, whose host becomes the Host header.
   * @throws {VsockboxError} as `dial`; TRANSPORT if the peer has closed before the response, or its body, was
   * complete; BAD_DATA if the answer is not HTTP; ABORTED by the signal or after {@link close}. A status is not an error.
   * @throws {TypeError} for a malformed request.
   */
  fetch(path: string | URL, options: HttpRequestOptions = {}): Promise<Response> {
    return requestOver(this.#bridge, this.#address, { path, options, keepalive: true });
  }

  /** Opens a WebSocket; it ends with this client. */
  webSocket(path: string, protocols?: string | string[]): WebSocket {
    return new WebSocket(`ws+unix://${this.#bridge.path}:${path}`, protocols);
  }

  /** Closes all connections; requests that are not complete, and later ones, fail with ABORTED. */
  close(): Promise<void> {
    return this.#bridge[Symbol.asyncDispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Returns a client for an address. It keeps connections, and the process running, until it is closed.
 *
 * @throws {VsockboxError} USAGE (malformed address), CONFIG (no such profile).
 */
export function httpClient(address: AddressLike, options: HttpClientOptions = {}): HttpClient {
  return new HttpClient(address, options);
}

/**
 * Sends one request over a connection of its own, which is closed after the response's body.
 *
 * @param path begins with a slash; or a URL, whose host becomes the Host header.
 * @throws {VsockboxError} as {@link HttpClient.fetch} and {@link httpClient}.
 */
export async function fetchFrom(
  address: AddressLike,
  path: string | URL,
  options: HttpRequestOptions & HttpClientOptions = {},
): Promise<Response> {
  const { timeoutMs, socketOwners = profileOwners(address), ...request } = options;
  assertDurations({ timeoutMs });
  const parts = partsOf(address);
  const bridge = new ClientBridge(parts, { timeoutMs, socketOwners });
  try {
    return await requestOver(bridge, new Addr(parts), {
      path,
      options: request,
      keepalive: false,
    });
  } finally {
    bridge.stopAccepting();
  }
}

async function requestOver(
  bridge: ClientBridge,
  address: Addr,
  {
    path,
    options,
    keepalive,
  }: { path: string | URL; options: HttpRequestOptions; keepalive: boolean },
): Promise<Response> {
  const { signal } = options;
  const failures = bridge.failures;
  const errorOf = (thrown: unknown) =>
    requestError(thrown, { address, signal, failure: bridge.failureSince(failures) });
  try {
    // A redirect would be followed over TCP, to a server of the peer's choice.
    const init = { ...options, unix: bridge.path, keepalive, redirect: "manual" };
    const response = await fetch(urlOf(path), init as BunFetchRequestInit);
    assertStatus(response);
    return withBodyErrors(response, errorOf);
  } catch (thrown) {
    throw errorOf(thrown);
  }
}

/**
 * Returns the URL of a path.
 *
 * @throws {TypeError} for a path that does not begin with a slash, and another scheme than http and https.
 */
export function urlOf(path: string | URL): URL {
  const isPath = typeof path === "string" && path.startsWith("/");
  const url = new URL(isPath ? `http://${HOST}${path}` : path);
  if (url.protocol === "http:" || url.protocol === "https:") return url;
  throw new TypeError(`${JSON.stringify(url.href)} is not a path, nor a URL of http or https`);
}

/** Codes of the runtime for a connection that ended, or could not be made. */
const CONNECTION_CODES: ReadonlySet<string> = new Set([
  "ECONNRESET",
  "ECONNREFUSED",
  "ENOENT",
  "EPIPE",
  "ETIMEDOUT",
  "ConnectionClosed",
  "ConnectionRefused",
  "FailedToOpenSocket",
]);

/** The circumstances of a failed request. */
export interface RequestFailure {
  address: Addr;
  signal: AbortSignal | undefined;
  /** Why the connection could not be made. */
  failure: VsockboxError | undefined;
}

/** Converts an error of the runtime's client; one that is about the request itself is returned as it is. */
export function requestError(
  thrown: unknown,
  { address, signal, failure }: RequestFailure,
): unknown {
  if (signal?.aborted === true) return abortError(signal, "send a request to");
  if (failure !== undefined) return failure;
  const code: unknown = thrown instanceof Error ? Reflect.get(thrown, "code") : undefined;
  if (typeof code !== "string" || code.startsWith("ERR_")) return thrown;
  const isConnection = CONNECTION_CODES.has(code);
  return new VsockboxError({
    code: isConnection ? "TRANSPORT" : "BAD_DATA",
    operation: "send a request to",
    address: String(address),
    message: isConnection
      ? "the peer closed the connection before the response was complete"
      : `the answer is not valid HTTP (${code})`,
    cause: thrown,
  });
}

/**
 * Throws for a status that the runtime's client accepts, but a Response cannot have.
 *
 * @throws {VsockboxError} BAD_DATA.
 */
export function assertStatus({
  body,
  status,
  url,
}: Pick<Response, "body" | "status" | "url">): void {
  if (status >= 200 && status <= 599) return;
  void body?.cancel().catch(() => undefined);
  throw new VsockboxError({
    code: "BAD_DATA",
    operation: "send a request to",
    address: url,
    message: `the answer has the invalid HTTP status ${status}`,
  });
}

/** Returns the response with a body that fails with errors of the library. */
function withBodyErrors(response: Response, errorOf: (thrown: unknown) => unknown): Response {
  const { body, status, statusText, headers, url } = response;
  if (body === null) return response;
  const reader = body.getReader();
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { value, done } = await reader.read();
          if (done) controller.close();
          else controller.enqueue(value);
        } catch (thrown) {
          controller.error(errorOf(thrown));
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
  const wrapped = new Response(stream, { status, statusText, headers });
  return Object.defineProperty(wrapped, "url", { value: url });
}
