/** The agents that commands talk to: addresses with their tokens, and paths in their guests. */
import type { AgentDialOptions } from "../../agent/client/handshake.ts";
import { DEFAULT_KEEPALIVE_MS, KEEPALIVE_MISSES } from "../../agent/channel/peer-liveness.ts";
import { EXEC_PORT } from "../../agent/ports.ts";
import { profileOf, resolveAddress } from "../../config/profiles.ts";
import { readToken } from "../../config/token.ts";
import { VsockboxError } from "../../errors.ts";
import { formatAddress, type SocketAddress } from "../../net/address.ts";
import { parseDuration } from "../../text/quantities.ts";
import type { Arguments, ArgumentSpec } from "../../ui/command.ts";
import { dialArguments, dialOptions } from "./connect-options.ts";

/** Names the token file of all agents that have none in their profile. */
const TOKEN_FILE_VARIABLE = "VSOCKBOX_TOKEN_FILE";

/** What every command that connects to agents accepts. */
export const agentArguments = {
  ...dialArguments,
  keepalive: {
    type: "string",
    valueHint: "TIME",
    description: `Ping a silent agent this often, and give up after ${KEEPALIVE_MISSES} times without an answer; 0: never (default ${DEFAULT_KEEPALIVE_MS / 1000}s)`,
  },
  "token-file": {
    type: "string",
    valueHint: "FILE",
    description: `The agent's token, where it wants one (also ${TOKEN_FILE_VARIABLE}, or token_file of the profile)`,
  },
  "allow-clear-token": {
    type: "boolean",
    description:
      "Send the token in clear to an agent of vsockbox 0.1, though it cannot prove that it knows it",
  },
} as const satisfies Record<string, ArgumentSpec>;

/** An agent, ready to be dialled. */
export interface AgentTarget {
  /** As the user wrote it. */
  name: string;
  address: SocketAddress;
  options: AgentDialOptions;
}

/**
 * Reads an agent's address and what is needed to get in.
 *
 * @throws {VsockboxError} USAGE, CONFIG.
 */
export function agentTarget(args: Arguments, name: string, signal?: AbortSignal): AgentTarget {
  const tokenFile =
    args.string("token-file") ?? profileOf(name)?.tokenFile ?? process.env[TOKEN_FILE_VARIABLE];
  return {
    name,
    address: resolveAddress(name, EXEC_PORT),
    options: {
      ...dialOptions(args, name, signal),
      keepaliveMs: keepaliveOption(args),
      token: tokenFile === undefined || tokenFile === "" ? undefined : readToken(tokenFile),
      allowsClearToken: args.flag("allow-clear-token"),
    },
  };
}

function keepaliveOption(args: Arguments): number | undefined {
  const text = args.string("keepalive");
  return text === undefined ? undefined : parseDuration(text, "keepalive");
}

/** The target as messages show it. */
export function shownTarget({ address }: AgentTarget): string {
  return formatAddress(address);
}

/** An operand of cp and its kin: a path here, or one in a guest. */
export type Operand =
  | { kind: "local"; path: Uint8Array }
  | { kind: "remote"; target: string; path: Uint8Array }
  /** Standard input or output. */
  | { kind: "stream" };

/** An address that has colons or slashes of its own, then the path. */
const SPELLED_OUT =
  /^((?:unix|hybrid|vsock):[^:]*(?::\d+(?=:))?|(?:unix|vsock|vsock-mux)[/%][^:]*(?::\d+(?=:))?):([^]*)$/;

/** A CID or a profile, with or without a port, then the path. */
const PLAIN = /^([A-Za-z0-9_.-]+(?::\d+(?=:))?):([^]*)$/;

/**
 * Reads `TARGET:PATH`, `PATH` or `-`. As with scp, a word with a slash before its first colon is a
 * local path.
 *
 * @param word as bytes: a path need not be UTF-8.
 */
export function parseOperand(word: Uint8Array): Operand {
  // Latin-1 keeps every byte apart.
  const text = Buffer.from(word).toString("latin1");
  if (text === "-") return { kind: "stream" };
  const match = SPELLED_OUT.exec(text) ?? PLAIN.exec(text);
  if (match === null) return { kind: "local", path: word };
  const [, target = "", path = ""] = match;
  return {
    kind: "remote",
    target: Buffer.from(target, "latin1").toString(),
    path: Buffer.from(path === "" ? "." : path, "latin1"),
  };
}

/**
 * Reads an operand that must be in a guest.
 *
 * @throws {VsockboxError} USAGE.
 */
export function remoteOperand(command: string, word: Uint8Array): Operand & { kind: "remote" } {
  const operand = parseOperand(word);
  if (operand.kind === "remote") return operand;
  throw new VsockboxError({
    code: "USAGE",
    operation: command,
    address: JSON.stringify(new TextDecoder().decode(word)),
    message: "it names no guest",
    hint: `write TARGET:PATH, as in \`vsockbox ${command} 3:/etc/hosts\``,
  });
}

/** Reads a duration option; undefined where it is not given or 0. */
export function durationOption(args: Arguments, name: string): number | undefined {
  const text = args.string(name);
  return text === undefined ? undefined : parseDuration(text, name) || undefined;
}
