/** Reads the metrics of an agent, as a scrape of Prometheus does: all of them within a time limit. */
import { VsockboxError } from "../../errors.ts";
import { onAbort } from "../../io/deadline.ts";
import type { SocketAddress } from "../../net/address.ts";
import { METRICS_FEATURE } from "../../protocols/agent/hello.ts";
import { badField } from "../../protocols/agent/json-fields.ts";
import {
  decodeMetricRecord,
  MAX_METRICS,
  MAX_SAMPLES,
} from "../../protocols/agent/metric-records.ts";
import type { Metric } from "../../protocols/prometheus/text.ts";
import { AgentClient } from "./agent-client.ts";
import { type AgentDialOptions, OldAgentError } from "./handshake.ts";

/** The answer of an agent. */
export interface AgentScrape {
  /** Undefined for an agent that has no metrics. */
  metrics: readonly Metric[] | undefined;
  /** The guest's clock minus this one; undefined for an agent that does not report its clock. */
  clockOffsetSeconds: number | undefined;
}

/**
 * Connects to an agent and reads its metrics.
 *
 * @throws {VsockboxError} TIMEOUT after `timeoutMs` for everything together, BAD_DATA for metrics that no
 * agent sends, else as {@link AgentClient.connect}.
 */
export async function scrapeAgent(
  address: SocketAddress,
  options: AgentDialOptions,
  timeoutMs: number,
): Promise<AgentScrape> {
  const deadline = new AbortController();
  const late = new VsockboxError({
    code: "TIMEOUT",
    operation: "read metrics",
    message: `no answer within ${timeoutMs / 1000} s`,
    hint: "the guest may be stopped, paused or overloaded; --timeout is the limit",
  });
  const timer = setTimeout(() => deadline.abort(late), timeoutMs);
  try {
    const client = await AgentClient.connect(address, { ...options, signal: deadline.signal });
    using _deadline = onAbort(deadline.signal, () => client.abort(late));
    try {
      return await readMetrics(client);
    } finally {
      await client.close();
    }
  } catch (thrown) {
    if (thrown instanceof OldAgentError)
      return { metrics: undefined, clockOffsetSeconds: undefined };
    throw thrown;
  } finally {
    clearTimeout(timer);
  }
}

async function readMetrics(client: AgentClient): Promise<AgentScrape> {
  const { clockOffsetMs } = await client.ping();
  const clockOffsetSeconds = Number.isFinite(clockOffsetMs)
    ? Math.round(clockOffsetMs * 1000) / 1e6
    : undefined;
  if (!client.hello.features.includes(METRICS_FEATURE)) {
    return { metrics: undefined, clockOffsetSeconds };
  }
  const metrics: Metric[] = [];
  let sampleCount = 0;
  for await (const record of client.records({ op: "metrics" })) {
    const metric = decodeMetricRecord(record);
    sampleCount += metric.samples.length;
    if (metrics.length === MAX_METRICS || sampleCount > MAX_SAMPLES) {
      throw badField("metrics", `there are more than ${MAX_METRICS}, or ${MAX_SAMPLES} samples`);
    }
    metrics.push(metric);
  }
  return { metrics, clockOffsetSeconds };
}
