/** The agents that commands talk to: addresses with their tokens, and paths in their guests. */
import { existsSync } from "node:fs";
import type { AgentDialOptions } from "../../agent/client/handshake.ts";
import { DEFAULT_KEEPALIVE_MS, KEEPALIVE_MISSES } from "../../agent/channel/peer-liveness.ts";
import { EXEC_PORT } from "../../agent/ports.ts";
import { TARGET_DEFAULT, useDefaultTarget } from "../../config/default-target.ts";
import { profileOf } from "../../config/profiles.ts";
import { readToken } from "../../config/token.ts";
import { commandLineError, invalidValue, VsockboxError } from "../../errors.ts";
import { showPath } from "../../files/bytes-path.ts";
import {
  formatAddress,
  isAddressWord,
  type SocketAddress,
  withDefaultPort,
} from "../../net/address.ts";
import { ADDRESS, type WrittenAddress, readAddress } from "./address-kind.ts";
import { CONNECTION, dialArguments, dialOptions } from "./connect-options.ts";
import {
  flag,
  option,
  type ArgumentValues,
  operand,
  type OperandFallback,
} from "../../ui/argument.ts";
import type { Command } from "../../ui/command-definition.ts";
import { FILE_OR_NONE, DURATION } from "../../ui/value-kind.ts";

/** Names the token file of all agents that have none in their profile. */
const TOKEN_FILE_VARIABLE = "VSOCKBOX_TOKEN_FILE";

/** The operand of a command for one agent. */
export const targetArgument = {
  target: operand(ADDRESS, { summary: "The agent's address, or the name of a profile" }),
};

/** Stands for a target that the command line does not have. */
const targetFallback: OperandFallback = { accepts: isTarget, word: useDefaultTarget };

/** The operand of a command for one agent, which the user may have set once and for all. */
export const usualTargetArgument = {
  target: operand(ADDRESS, {
    summary: "The agent's address, or the name of a profile",
    defaultText: TARGET_DEFAULT,
    fallback: targetFallback,
  }),
};

/**
 * Asks for the target of a command that has none, on a terminal: see `withAskedTarget`.
 *
 * @throws {VsockboxError} ABORTED if the user cancels.
 */
export async function askForTarget(
  words: readonly string[],
  command: Pick<Command, "name" | "parse">,
): Promise<readonly string[]> {
  const { withAskedTarget } = await import("./ask-target.ts");
  return await withAskedTarget(words, command);
}

/** As {@link askForTarget}, for paths of `cp` that begin with a colon. */
export async function askForPathTarget(words: readonly string[]): Promise<readonly string[]> {
  if (!words.some((word) => word.startsWith(":"))) return words;
  const { withAskedPathTarget } = await import("./ask-target.ts");
  return await withAskedPathTarget(words);
}

/** Whether a word is an address or the name of a profile that exists. */
function isTarget(text: string): boolean {
  return canRead(() => readAddress(text));
}

/** Whether a word can be read; anything else than a VsockboxError is thrown on. */
export function canRead(read: () => void): boolean {
  try {
    read();
    return true;
  } catch (thrown) {
    if (thrown instanceof VsockboxError) return false;
    throw thrown;
  }
}

/** The options that {@link tokenOptions} reads. */
export const tokenArguments = {
  tokenFile: option(FILE_OR_NONE, {
    heading: CONNECTION,
    summary: `Read the agent's token from this file; also ${TOKEN_FILE_VARIABLE}, or token_file of the profile`,
  }),
  allowClearToken: flag({
    heading: CONNECTION,
    summary:
      "Send the token in clear to an agent of vsockbox 0.1, which cannot prove that it knows the token",
  }),
};

/** What every command that connects to agents accepts. */
export const agentArguments = {
  ...dialArguments,
  keepalive: option(DURATION, {
    heading: CONNECTION,
    default: DEFAULT_KEEPALIVE_MS,
    summary: `Ping a silent agent this often, and disconnect after ${KEEPALIVE_MISSES} pings without an answer; 0: never`,
  }),
  ...tokenArguments,
};

/** The values of {@link agentArguments}. */
export type AgentValues = ArgumentValues<typeof agentArguments>;

/** An agent, ready to be dialled. */
export interface AgentTarget {
  /** As the user wrote it. */
  name: string;
  address: SocketAddress;
  options: AgentDialOptions;
}

/**
 * Reads an agent's address and its connect options.
 *
 * @throws {VsockboxError} USAGE, CONFIG.
 */
export function agentTarget(
  args: AgentValues,
  { text, address }: WrittenAddress,
  signal?: AbortSignal,
): AgentTarget {
  return {
    name: text,
    address: withDefaultPort(address, EXEC_PORT),
    options: {
      ...dialOptions(args, text, signal),
      keepaliveMs: args.keepalive,
      ...tokenOptions(args, text),
    },
  };
}

/**
 * Reads {@link tokenArguments} for a target as it was written.
 *
 * @throws {VsockboxError} CONFIG.
 */
export function tokenOptions(
  args: ArgumentValues<typeof tokenArguments>,
  name: string,
): Pick<AgentDialOptions, "token" | "allowsClearToken"> {
  const tokenFile =
    args.tokenFile ?? profileOf(name)?.tokenFile ?? process.env[TOKEN_FILE_VARIABLE];
  return {
    token: tokenFile === undefined || tokenFile === "" ? undefined : readToken(tokenFile),
    allowsClearToken: args.allowClearToken,
  };
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
 * Reads `TARGET:PATH`, `:PATH` in the default target if there is one, `PATH` or `-`. As with scp, a word with
 * a slash before its first colon is a local path.
 *
 * @param word as bytes: a path need not be UTF-8.
 * @throws {VsockboxError} USAGE for an address without a path.
 */
export function parseOperand(word: Uint8Array): Operand {
  // Latin-1 keeps every byte apart.
  const text = Buffer.from(word).toString("latin1");
  if (text === "-") return { kind: "stream" };
  const usual = text.startsWith(":") ? useDefaultTarget() : undefined;
  if (usual !== undefined)
    return { kind: "remote", target: usual, path: pathOrHere(text.slice(1)) };
  const match = SPELLED_OUT.exec(text) ?? PLAIN.exec(text);
  if (match === null) return { kind: "local", path: word };
  const [, target = "", path = ""] = match;
  if (isAddressWord(target)) throw withoutPath(word);
  return {
    kind: "remote",
    target: Buffer.from(target, "latin1").toString(),
    path: pathOrHere(path),
  };
}

/** Returns a path in Latin-1 as bytes; the empty one is the working directory. */
function pathOrHere(path: string): Uint8Array {
  return Buffer.from(path === "" ? "." : path, "latin1");
}

/** The error for `unix:/run/x.sock` and the like, of which `unix` alone is not a target. */
function withoutPath(word: Uint8Array): VsockboxError {
  const text = new TextDecoder().decode(word);
  return invalidValue({
    value: text,
    name: "an operand",
    message: "the path in the guest is missing",
    hint: `write ${text}:/PATH, or ./${text} for a local file`,
  });
}

/**
 * Reads an operand that must be in a guest.
 *
 * @throws {VsockboxError} USAGE.
 */
export function remoteOperand(command: string, word: Uint8Array): Operand & { kind: "remote" } {
  const parsed = parseOperand(word);
  if (parsed.kind === "remote") return parsed;
  throw commandLineError(
    command,
    `${JSON.stringify(new TextDecoder().decode(word))} does not name a guest`,
    `write TARGET:PATH, as in \`vsockbox ${command} 3:/etc/hosts\``,
  );
}

/**
 * Reads the addresses of all operands, so that a mistake in one is found before anything is done.
 *
 * @param words operands as bytes; those that are local paths are skipped.
 * @param isLocalAllowed whether the command accepts local paths too.
 * @throws {VsockboxError} USAGE, CONFIG, with a hint if a local file has the operand's name.
 */
export function checkTargets(words: readonly Uint8Array[], isLocalAllowed: boolean): void {
  for (const bytes of words) {
    const parsed = parseOperand(bytes);
    if (parsed.kind !== "remote") continue;
    try {
      readAddress(parsed.target);
    } catch (thrown) {
      if (!(thrown instanceof VsockboxError) || !existsSync(Buffer.from(bytes))) throw thrown;
      const shown = showPath(bytes);
      throw thrown.withHint(
        isLocalAllowed
          ? `for the local file of that name write ./${shown}`
          : `${shown} is a local file; this command is for files in guests`,
      );
    }
  }
}
