/** The agent from its start to its end. */
import { EXEC_PORT, READY_PORT } from "../../agent/ports.ts";
import {
  type RunningAgent,
  type AgentOptions,
  startAgent,
} from "../../agent/server/agent-server.ts";
import { resolveAddress } from "../../config/profiles.ts";
import { toVsockboxError } from "../../errors.ts";
import { readToken } from "../../config/token.ts";
import { formatAddress, parseAddress, withDefaultPort } from "../../net/address.ts";
import { HOST_ONLY } from "../../net/allow-cid.ts";
import { parseHttpAddress } from "../../net/http.ts";
import { encodeMetrics } from "../../protocols/prometheus/text.ts";
import { type Endpoint, formatEndpoint } from "../../text/endpoint.ts";
import { reportReady } from "../../process/service/daemon.ts";
import { type Log, openLog } from "../../process/service/log.ts";
import { guardGroups } from "../../process/group-guard.ts";
import { notifyReady, notifyStopping, takeNotifySocket } from "../../process/service/notify.ts";
import {
  type EndingSignal,
  INIT_ENDING_SIGNALS,
  onEndingSignal,
  SERVICE_ENDING_SIGNALS,
} from "../../process/signals.ts";
import { parseSandbox } from "../../process/sandbox/sandbox-options.ts";
import type { AgentServiceValues } from "./agent-arguments.ts";
import { InitDuties } from "./agent-init.ts";
import { allowedCids } from "../shared/connect-options.ts";
import { pidFileOf } from "../shared/service.ts";
import { printJson } from "../../ui/report.ts";
import { countOf } from "../../text/count.ts";

/** Serves until a signal ends it; returns the exit status. */
export async function runAgent(args: AgentServiceValues): Promise<number> {
  takeNotifySocket();
  const log = openLog({
    tag: "agent",
    path: args.logFile,
    threshold: args.quiet ? "error" : args.verbose ? "debug" : "info",
  });
  const hurry = new AbortController();
  const ended = Promise.withResolvers<EndingSignal>();
  let signals = 0;
  const endingSignals = args.init ? INIT_ENDING_SIGNALS : SERVICE_ENDING_SIGNALS;
  using _signals = onEndingSignal((signal) => {
    if (++signals > 1) hurry.abort();
    ended.resolve(signal);
  }, endingSignals);
  // The end of process 1 is the end of everything else as well.
  if (!args.init) guardGroups((message) => log.warn(message));
  using init = args.init ? new InitDuties(log) : undefined;
  const options = agentOptions(args, log, init);
  const metricsEndpoint = metricsEndpointOf(args);
  const agent = init === undefined ? startAgent(options) : await init.untilStarted(options);
  using metrics = await startMetrics(metricsEndpoint, agent, log, args.init);
  using _pidFile = await pidFileOf(args, () => agent.stop(0));
  const where = listening(agent);
  log.info(where);
  if (args.json) printJson(addressesJson(agent, metrics?.endpoint));
  const problem = notifyReady(where);
  if (problem !== undefined) log.warn(problem.message);
  reportReady();
  const signal = await (init === undefined
    ? ended.promise
    : Promise.race([ended.promise, init.ended]));
  notifyStopping();
  log.info(`${signal}: ending ${countOf(agent.sessions, "session")}`);
  const { finished, cancelled, detached } = await agent.stop(args.grace, hurry.signal);
  log.info(`sessions: ${finished} finished, ${cancelled} cancelled; ${detached} detached ended`);
  await init?.end();
  return 0;
}

function agentOptions(
  args: AgentServiceValues,
  log: Log,
  init: InitDuties | undefined,
): AgentOptions {
  const listen = withDefaultPort(args.listen.address, EXEC_PORT);
  const tokenFile = args.tokenFile;
  return {
    listen,
    readyListen: readyAddress(args, listen.kind === "unix"),
    token: tokenFile === undefined ? undefined : readToken(tokenFile),
    refusesClearToken: args.refuseClearToken,
    ...limitsOf(args),
    power: init === undefined ? undefined : (action) => init.requestEnd(action),
    log,
  };
}

function limitsOf(args: AgentServiceValues) {
  return {
    allowed: allowedCids(args, HOST_ONLY),
    sandbox: parseSandbox(wordsOf(args.sandbox)),
    maxFrameBytes: args.maxFrame,
    maxSessions: args.maxSessions,
    maxOutputBytes: args.maxOutput,
    maxMemoryBytes: args.maxMemory,
    handshakeTimeoutMs: args.handshakeTimeout || undefined,
    idleTimeoutMs: args.idleTimeout || undefined,
  } satisfies Partial<AgentOptions>;
}

/**
 * Checks the options' values for an agent that starts elsewhere, or later: the contents of its files, the
 * token and the profiles, is not known here.
 *
 * @throws {VsockboxError} USAGE, as the agent would.
 */
export function checkAgentValues(args: AgentServiceValues): void {
  limitsOf(args);
  metricsEndpointOf(args);
  parseAddress(args.listen.text);
  const ready = args.readyListen;
  if (ready !== undefined && ready !== "none") parseAddress(ready);
}

/** @throws {VsockboxError} USAGE. */
function metricsEndpointOf({ metrics }: AgentServiceValues): Endpoint | undefined {
  return metrics === undefined ? undefined : parseHttpAddress(metrics, "metrics");
}

/** The server of metrics. */
interface ServedMetrics extends Disposable {
  /** With the port that the kernel chose if port 0 was asked for. */
  readonly endpoint: Endpoint;
}

function addressesJson(
  { listening: address, readyListening: ready }: RunningAgent,
  metrics: Endpoint | undefined,
) {
  return {
    listening: formatAddress(address),
    ready_listening: ready === undefined ? null : formatAddress(ready),
    metrics: metrics === undefined ? null : formatEndpoint(metrics),
  };
}

/**
 * Serves the metrics of the agent. An init continues without them if that fails, since its end would be
 * that of the guest.
 *
 * @throws {VsockboxError} CANNOT_CREATE, after stopping the agent.
 */
async function startMetrics(
  endpoint: Endpoint | undefined,
  agent: RunningAgent,
  log: Log,
  isInit: boolean,
): Promise<ServedMetrics | undefined> {
  if (endpoint === undefined) return undefined;
  const { METRICS_PATH, serveMetrics } = await import("../../net/metrics-server.ts");
  try {
    const server = serveMetrics(endpoint, async () => encodeMetrics(await agent.metrics()));
    log.info(`metrics are at ${METRICS_PATH} on ${formatEndpoint(server.endpoint)}`);
    return { endpoint: server.endpoint, [Symbol.dispose]: () => server.close() };
  } catch (thrown) {
    const error = toVsockboxError(thrown, "serve metrics");
    if (!isInit) {
      await agent.stop(0);
      throw error;
    }
    log.warn(error.message, error.hint);
    return undefined;
  }
}

/** Words with commas between. */
export function wordsOf(list: string | undefined): string[] {
  return list === undefined ? [] : list.split(",").map((word) => word.trim());
}

function listening({ listening: address, readyListening: ready }: RunningAgent): string {
  const readyText = ready === undefined ? "" : `, ready on ${formatAddress(ready)}`;
  return `listening on ${formatAddress(address)}${readyText}`;
}

function readyAddress(args: AgentServiceValues, withoutPorts: boolean) {
  const given = args.readyListen;
  if (given === "none" || (given === undefined && withoutPorts)) return undefined;
  return resolveAddress(given ?? `vsock::${READY_PORT}`, READY_PORT);
}
