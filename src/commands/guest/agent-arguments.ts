/** The options of `vsockbox agent`. */
import { MIN_BUDGET_BYTES } from "../../agent/channel/memory-budget.ts";
import { EXEC_PORT, READY_PORT } from "../../agent/ports.ts";
import {
  DEFAULT_HANDSHAKE_TIMEOUT_MS,
  DEFAULT_MAX_OUTPUT_BYTES,
  DEFAULT_MAX_SESSIONS,
} from "../../agent/server/agent-server.ts";
import { SANDBOX_WORDS } from "../../process/sandbox/sandbox-options.ts";
import { DEFAULT_MAX_FRAME_BYTES } from "../../protocols/agent/frame.ts";
import { ADDRESS, readAddress } from "../shared/address-kind.ts";
import { allowArguments, LIMITS_GROUP } from "../shared/connect-options.ts";
import { serviceArguments } from "../shared/service.ts";
import { flag, option, type ArgumentValues } from "../../ui/argument.ts";
import { word, FILE, DURATION, integer, sizeBetween } from "../../ui/value-kind.ts";

/** The arguments of `vsockbox agent`. */
export const agentServiceArguments = {
  listen: option(ADDRESS, {
    default: readAddress(`vsock::${EXEC_PORT}`),
    summary: "Listen for commands here",
  }),
  readyListen: option(word("ADDRESS"), {
    defaultText: `vsock::${READY_PORT}; none with a unix: --listen`,
    summary: "Listen here for the probes of `vsockbox wait`, or `none`",
  }),
  ...allowArguments,
  tokenFile: option(FILE, {
    summary: "Require that every host knows the secret in this file; older clients are refused",
  }),
  refuseClearToken: flag({
    summary: "Refuse clients of vsockbox 0.1, which send the token in clear",
  }),
  sandbox: option(word("LIST"), { summary: `Confine every command: ${SANDBOX_WORDS}` }),
  init: flag({
    summary:
      "Run as the guest's init: mount the missing file systems, reap orphans, power off in the end",
  }),
  metrics: option(word("ADDRESS"), {
    summary:
      "Serve metrics for Prometheus on 127.0.0.1:9464, :9464 or unix:PATH; `vsockbox metrics` reads them without it",
  }),
  quiet: flag({ short: "q", summary: "Log nothing but errors" }),
  verbose: flag({ short: "v", summary: "Log every connection" }),
  json: flag({ summary: "Print the addresses as JSON once it listens" }),
  maxSessions: option(integer(1, 1_000_000), {
    heading: LIMITS_GROUP,
    default: DEFAULT_MAX_SESSIONS,
    summary: "Connections, and detached commands, at once",
  }),
  maxFrame: option(sizeBetween(1, 0xffff_ffff), {
    heading: LIMITS_GROUP,
    default: DEFAULT_MAX_FRAME_BYTES,
    summary: "Largest frame that is accepted",
  }),
  maxOutput: option(sizeBetween(1, 0x7fff_ffff), {
    heading: LIMITS_GROUP,
    default: DEFAULT_MAX_OUTPUT_BYTES,
    summary: "Output that is kept for one detached command, or collected for one Exec",
  }),
  maxMemory: option(sizeBetween(MIN_BUDGET_BYTES, Number.MAX_SAFE_INTEGER), {
    heading: LIMITS_GROUP,
    defaultText: "an eighth of the memory",
    summary: "Buffers of all sessions and detached commands together",
  }),
  handshakeTimeout: option(DURATION, {
    heading: LIMITS_GROUP,
    default: DEFAULT_HANDSHAKE_TIMEOUT_MS,
    summary: "Close a connection without a session after this long",
  }),
  idleTimeout: option(DURATION, {
    heading: LIMITS_GROUP,
    defaultText: "never",
    summary: "Close a connection that is idle for this long",
  }),
  grace: option(DURATION, {
    heading: LIMITS_GROUP,
    default: 0,
    summary: "After SIGTERM, wait this long for sessions to finish before they are ended",
  }),
  ...serviceArguments,
};

/** The values of {@link agentServiceArguments}. */
export type AgentServiceValues = ArgumentValues<typeof agentServiceArguments>;
