/**
 * Metrics over HTTP, for Prometheus. Its server is a small one of its own: it accepts by an AcceptLoop, which
 * pauses if descriptors are short, and it has limits of connections and of the time that each may take.
 */
import { VsockboxError } from "../errors.ts";
import { withDeadline } from "../io/deadline.ts";
import { shareInFlight } from "../io/share-in-flight.ts";
import type { SocketStream } from "../io/stream.ts";
import { encodeHttpResponse, type OutgoingResponse } from "../protocols/http/encode-response.ts";
import { readRequestHead, type RequestHead } from "../protocols/http/request.ts";
import { PROMETHEUS_TYPE } from "../protocols/prometheus/text.ts";
import type { Endpoint } from "../text/endpoint.ts";
import { ConnectionLimit } from "./connection-limit.ts";
import { type EndpointListener, listenEndpoint } from "./endpoint.ts";
import type { HttpServer } from "./http.ts";

/** The path of the metrics. */
export const METRICS_PATH = "/metrics";

/** Connections at a time: a Prometheus has one, or two. */
const MAX_CONNECTIONS = 64;

/** Time in which a whole request has to arrive, and in which a response has to be accepted, in milliseconds. */
const CLIENT_MS = 10_000;

const TEXT_TYPE = "text/plain; charset=utf-8";

/**
 * Returns the response to a request.
 *
 * @param metricsText returns the text of the exposition.
 */
export async function answerMetrics(
  { method, path }: Pick<RequestHead, "method" | "path">,
  metricsText: () => string | Promise<string>,
): Promise<OutgoingResponse> {
  if (path !== METRICS_PATH) {
    return { status: 404, type: TEXT_TYPE, body: `metrics are at ${METRICS_PATH}\n` };
  }
  if (method !== "GET" && method !== "HEAD") {
    return { status: 405, type: TEXT_TYPE, body: "GET only\n", allow: "GET, HEAD" };
  }
  try {
    return { status: 200, type: PROMETHEUS_TYPE, body: await metricsText() };
  } catch {
    return { status: 500, type: TEXT_TYPE, body: "it failed\n" };
  }
}

/**
 * Serves GET and HEAD of {@link METRICS_PATH}. A Unix socket is made with mode 0600.
 *
 * @param metricsText returns the text of the exposition; requests at the same time share one call.
 * @throws {VsockboxError} CANNOT_CREATE.
 */
export function serveMetrics(
  endpoint: Endpoint,
  metricsText: () => string | Promise<string>,
): HttpServer {
  return new MetricsServer(
    endpoint,
    shareInFlight(async () => metricsText()),
  );
}

class MetricsServer implements HttpServer {
  readonly #listener: EndpointListener;
  readonly #metricsText: () => Promise<string>;
  readonly #limit = new ConnectionLimit<SocketStream>(MAX_CONNECTIONS, (stream) => stream.abort());

  constructor(endpoint: Endpoint, metricsText: () => Promise<string>) {
    this.#metricsText = metricsText;
    this.#listener = listenEndpoint(endpoint, (stream) => void this.#serve(stream), {
      beforeNext: () => this.#limit.place(),
    });
  }

  get endpoint(): Endpoint {
    return this.#listener.endpoint;
  }

  close(): void {
    this.#listener.close();
    this.#limit.closeAll();
  }

  /** Answers the requests of one connection. Never throws. */
  async #serve(stream: SocketStream): Promise<void> {
    try {
      let keepsOpen = true;
      while (keepsOpen) {
        this.#limit.wait(stream);
        keepsOpen = await this.#exchange(stream);
      }
      this.#limit.wait(stream);
      await stream.finish();
    } catch {
      // The client has disconnected, or is too slow.
      stream.abort();
    } finally {
      this.#limit.remove(stream);
    }
  }

  /** @returns whether another request may follow. */
  async #exchange(stream: SocketStream): Promise<boolean> {
    let head: RequestHead | undefined;
    try {
      head = await inTime(stream, readHead(stream));
    } catch (thrown) {
      if (!(thrown instanceof VsockboxError) || thrown.code !== "BAD_DATA") throw thrown;
      const body = `${thrown.reason}\n`;
      await this.#send(stream, { status: 400, type: TEXT_TYPE, body }, undefined);
      return false;
    }
    if (head === undefined) return false;
    this.#limit.work(stream);
    await this.#send(stream, await answerMetrics(head, this.#metricsText), head);
    // A body is not read, so the next request could not be found.
    return head.keepsOpen && !head.hasBody;
  }

  async #send(
    stream: SocketStream,
    response: OutgoingResponse,
    head: RequestHead | undefined,
  ): Promise<void> {
    const keepsOpen = head !== undefined && head.keepsOpen && !head.hasBody;
    const options = { keepsOpen, isHead: head?.method === "HEAD", date: new Date() };
    await inTime(stream, stream.write(encodeHttpResponse(response, options)));
  }
}

/** Returns the next request; undefined at the end of input. Bytes that follow it stay unread. */
async function readHead(stream: SocketStream): Promise<RequestHead | undefined> {
  let received: Uint8Array = new Uint8Array(0);
  for (;;) {
    const chunk = await stream.read();
    if (chunk === undefined) return undefined;
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    const head = readRequestHead(received);
    if (head === undefined) continue;
    if (received.length > head.headBytes) stream.unread(received.subarray(head.headBytes));
    return head;
  }
}

function inTime<T>(stream: SocketStream, step: Promise<T>): Promise<T> {
  return withDeadline(step, {
    milliseconds: CLIENT_MS,
    timeoutError: () =>
      new VsockboxError({
        code: "TIMEOUT",
        operation: "serve metrics",
        message: "the client is too slow",
      }),
    onGiveUp: (reason) => stream.abort(reason),
  });
}
