/** Metrics over HTTP, for Prometheus. */
import { PROMETHEUS_TYPE } from "../protocols/prometheus/text.ts";
import type { Endpoint } from "../text/endpoint.ts";
import { type HttpServer, serveHttp } from "./http.ts";

/** The path of the metrics. */
export const METRICS_PATH = "/metrics";

/**
 * Serves GET and HEAD of {@link METRICS_PATH}.
 *
 * @param metricsText returns the text of the exposition; called at each request.
 * @throws {VsockboxError} CANNOT_CREATE.
 */
export function serveMetrics(
  endpoint: Endpoint,
  metricsText: () => string | Promise<string>,
): HttpServer {
  return serveHttp(endpoint, async (request) => {
    if (new URL(request.url).pathname !== METRICS_PATH) {
      return new Response(`metrics are at ${METRICS_PATH}\n`, { status: 404 });
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      return new Response("GET only\n", { status: 405, headers: { Allow: "GET, HEAD" } });
    }
    return new Response(await metricsText(), { headers: { "Content-Type": PROMETHEUS_TYPE } });
  });
}
