/** The agent from its start to its end. */
import { EXEC_PORT, READY_PORT } from "../../agent/ports.ts";
import { MIN_BUDGET_BYTES } from "../../agent/channel/memory-budget.ts";
import { type Agent, type AgentOptions, startAgent } from "../../agent/server/agent-server.ts";
import { resolveAddress } from "../../config/profiles.ts";
import { readToken } from "../../config/token.ts";
import { formatAddress, parseAddress } from "../../net/address.ts";
import { HOST_ONLY } from "../../net/allow-cid.ts";
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
import { parseSandbox } from "../../process/sandbox/sandbox.ts";
import { parseDuration, parseInteger } from "../../text/quantities.ts";
import type { Arguments } from "../../ui/command.ts";
import { InitDuties } from "./agent-init.ts";
import { allowedCids } from "../shared/connect-options.ts";
import { pidFileOf } from "../shared/service.ts";
import { durationOption } from "../shared/target.ts";

/** Serves until a signal ends it; gives the exit status. */
export async function runAgent(args: Arguments): Promise<number> {
  takeNotifySocket();
  const log = openLog({
    tag: "agent",
    path: args.string("log-file"),
    threshold: args.flag("quiet") ? "error" : "info",
  });
  const hurry = new AbortController();
  const ended = Promise.withResolvers<EndingSignal>();
  let signals = 0;
  const endingSignals = args.flag("init") ? INIT_ENDING_SIGNALS : SERVICE_ENDING_SIGNALS;
  using _signals = onEndingSignal((signal) => {
    if (++signals > 1) hurry.abort();
    ended.resolve(signal);
  }, endingSignals);
  // The end of process 1 is the end of everything else as well.
  if (!args.flag("init")) guardGroups((message) => log.warn(message));
  using init = args.flag("init") ? new InitDuties(log) : undefined;
  const options = agentOptions(args, log, init);
  const agent = init === undefined ? startAgent(options) : await init.untilStarted(options);
  using _pidFile = await pidFileOf(args, () => agent.stop(0));
  const where = listening(agent);
  log.info(where);
  const problem = notifyReady(where);
  if (problem !== undefined) log.warn(problem.message);
  reportReady();
  const signal = await (init === undefined
    ? ended.promise
    : Promise.race([ended.promise, init.ended]));
  notifyStopping();
  log.info(`${signal}: ending ${agent.sessions} sessions`);
  const graceMs = parseDuration(args.required("grace"), "grace");
  const { finished, cancelled, detached } = await agent.stop(graceMs, hurry.signal);
  log.info(`sessions: ${finished} finished, ${cancelled} cancelled; ${detached} detached ended`);
  await init?.end();
  return 0;
}

function agentOptions(args: Arguments, log: Log, init: InitDuties | undefined): AgentOptions {
  const listen = resolveAddress(args.required("listen"), EXEC_PORT);
  const tokenFile = args.string("token-file");
  return {
    listen,
    readyListen: readyAddress(args, listen.kind === "unix"),
    token: tokenFile === undefined ? undefined : readToken(tokenFile),
    refusesClearToken: args.flag("refuse-clear-token"),
    ...limitsOf(args),
    power: init === undefined ? undefined : (action) => init.requestEnd(action),
    log,
  };
}

function limitsOf(args: Arguments) {
  return {
    allowed: allowedCids(args, HOST_ONLY),
    sandbox: parseSandbox(wordsOf(args.string("sandbox"))),
    maxFrameBytes: integer(args, "max-frame", 0xffff_ffff),
    maxSessions: integer(args, "max-sessions", 1_000_000),
    maxOutputBytes: integer(args, "max-output", 0x7fff_ffff),
    maxMemoryBytes: integer(args, "max-memory", Number.MAX_SAFE_INTEGER, MIN_BUDGET_BYTES),
    handshakeTimeoutMs: durationOption(args, "handshake-timeout"),
    idleTimeoutMs: durationOption(args, "idle-timeout"),
  } satisfies Partial<AgentOptions>;
}

/**
 * Checks the options' values for an agent that starts elsewhere, or later: what is in its files, the
 * token and the profiles, is not known here.
 *
 * @throws {VsockboxError} USAGE, as the agent would.
 */
export function checkAgentValues(args: Arguments): void {
  limitsOf(args);
  parseDuration(args.required("grace"), "grace");
  parseAddress(args.required("listen"));
  const ready = args.string("ready-listen");
  if (ready !== undefined && ready !== "none") parseAddress(ready);
}

/** Words with commas between. */
export function wordsOf(list: string | undefined): string[] {
  return list === undefined ? [] : list.split(",").map((word) => word.trim());
}

function listening({ listening: address, readyListening: ready }: Agent): string {
  const readyText = ready === undefined ? "" : `, ready on ${formatAddress(ready)}`;
  return `listening on ${formatAddress(address)}${readyText}`;
}

function readyAddress(args: Arguments, withoutPorts: boolean) {
  const given = args.string("ready-listen");
  if (given === "none" || (given === undefined && withoutPorts)) return undefined;
  return resolveAddress(given ?? `vsock::${READY_PORT}`, READY_PORT);
}

function integer(args: Arguments, name: string, max: number, min = 1): number | undefined {
  const text = args.string(name);
  return text === undefined ? undefined : parseInteger(text, name, min, max);
}
