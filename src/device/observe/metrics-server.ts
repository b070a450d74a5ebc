/** The metrics of all VMs over HTTP. */
import { type HttpServer, serveHttp } from "../../net/http.ts";
import { answerMetrics } from "../../net/metrics-server.ts";
import type { Endpoint } from "../../text/endpoint.ts";
import { COMMIT, TARGET, VERSION } from "../../version.ts";
import { metricsText, type ServerFacts } from "./metrics.ts";
import type { ObservedVm } from "./observed-vm.ts";
import { vmFacts } from "./status.ts";

/**
 * Serves the metrics of VMs, which are iterated at each request.
 *
 * @throws {VsockboxError} CANNOT_CREATE.
 */
export function serveVmMetrics(endpoint: Endpoint, vms: Iterable<ObservedVm>): HttpServer {
  const text = () => metricsText([...vms].map(vmFacts), processFacts());
  return serveHttp(endpoint, async ({ method, url }) => {
    const path = new URL(url).pathname;
    const { status, type, body, allow } = await answerMetrics({ method, path }, text);
    const headers = { "Content-Type": type, ...(allow === undefined ? {} : { Allow: allow }) };
    return new Response(body, { status, headers });
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
