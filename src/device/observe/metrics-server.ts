/** The metrics of all VMs over HTTP. */
import type { Endpoint } from "../../text/endpoint.ts";
import { type HttpServer, serveHttp } from "../../net/http.ts";
import { PROMETHEUS_TYPE } from "../../protocols/prometheus/text.ts";
import { COMMIT, TARGET, VERSION } from "../../version.ts";
import { metricsText, type ServerFacts } from "./metrics.ts";
import type { ObservedVm } from "./observed-vm.ts";
import { vmFacts } from "./status.ts";

/** The path of the metrics. */
export const METRICS_PATH = "/metrics";

/**
 * Serves GET /metrics.
 *
 * @param vms iterated at each request.
 * @throws {VsockboxError} CANNOT_CREATE.
 */
export function serveMetrics(endpoint: Endpoint, vms: Iterable<ObservedVm>): HttpServer {
  return serveHttp(endpoint, (request) => {
    if (new URL(request.url).pathname !== METRICS_PATH) {
      return new Response(`metrics are at ${METRICS_PATH}\n`, { status: 404 });
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      return new Response("GET only\n", { status: 405, headers: { Allow: "GET, HEAD" } });
    }
    const text = metricsText([...vms].map(vmFacts), processFacts());
    return new Response(text, { headers: { "Content-Type": PROMETHEUS_TYPE } });
  });
}

function processFacts(): ServerFacts {
  const { user, system } = process.cpuUsage();
  return {
    version: VERSION,
    commit: COMMIT,
    target: TARGET,
    residentBytes: process.memoryUsage.rss(),
    cpuSeconds: (user + system) / 1e6,
    startedAt: Math.round(performance.timeOrigin) / 1000,
  };
}
