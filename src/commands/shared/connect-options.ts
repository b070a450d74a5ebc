/** Arguments and habits that several commands share. */
import { profileOf } from "../../config/profiles.ts";
import { parseSocketOwners, SOCKET_OWNER_VARIABLE } from "../../config/socket-owners.ts";
import { parseAllowedCids, withLocal, type AllowedCids } from "../../net/allow-cid.ts";
import { DEFAULT_CONNECT_TIMEOUT_MS, type DialOptions } from "../../net/dial.ts";
import type { SocketOwners } from "../../net/socket-owner.ts";
import { parseDuration, parseSize } from "../../text/quantities.ts";
import type { Arguments, ArgumentSpec } from "../../ui/command.ts";

/** `--json`. */
export const jsonArgument = {
  json: { type: "boolean", description: "Print JSON instead of text" },
} as const satisfies Record<string, ArgumentSpec>;

/** `--connect-timeout`. */
export const connectTimeoutArgument = {
  "connect-timeout": {
    type: "string",
    valueHint: "TIME",
    description: `Give up after this long without a connection, or an answer to it (default ${DEFAULT_CONNECT_TIMEOUT_MS / 1000}s)`,
  },
} as const satisfies Record<string, ArgumentSpec>;

/** `--allow-socket-owner`. */
export const socketOwnerArgument = {
  "allow-socket-owner": {
    type: "string",
    valueHint: "USER",
    description: `Also connect to Unix sockets on which this user listens, or \`any\` (default: your own and root; also ${SOCKET_OWNER_VARIABLE}, or socket_owner of the profile)`,
  },
} as const satisfies Record<string, ArgumentSpec>;

/** `--connect-timeout` and `--allow-socket-owner`: {@link dialOptions} reads them. */
export const dialArguments = {
  ...connectTimeoutArgument,
  ...socketOwnerArgument,
} as const satisfies Record<string, ArgumentSpec>;

/**
 * Reads {@link socketOwnerArgument}.
 *
 * @param target the address as it was written, which may name a profile.
 * @throws {VsockboxError} CONFIG for a user who does not exist.
 */
export function socketOwners(args: Arguments, target: string | undefined): SocketOwners {
  const option = args.string("allow-socket-owner");
  if (option !== undefined) return parseSocketOwners(option, "--allow-socket-owner");
  const profile = target === undefined ? undefined : profileOf(target)?.socketOwner;
  if (profile !== undefined) return parseSocketOwners(profile, "socket_owner");
  const variable = process.env[SOCKET_OWNER_VARIABLE] ?? "";
  return variable === "" ? [] : parseSocketOwners(variable, SOCKET_OWNER_VARIABLE);
}

/** Reads {@link dialArguments} for a target as it was written. */
export function dialOptions(
  args: Arguments,
  target: string | undefined,
  signal?: AbortSignal,
): DialOptions {
  const timeout = args.string("connect-timeout");
  return {
    signal,
    socketOwners: socketOwners(args, target),
    timeoutMs: timeout === undefined ? undefined : parseDuration(timeout, "connect-timeout"),
  };
}

/** Options of commands that receive files. */
export const receiveArguments = {
  "preserve-owner": {
    type: "boolean",
    description: "With -p, of files from a guest also keep set-ID bits and, as root, owners",
  },
  "max-size": {
    type: "string",
    valueHint: "SIZE",
    description: "Receive no more than this in all, holes included, such as 500MiB",
  },
} as const satisfies Record<string, ArgumentSpec>;

/**
 * Reads an option that is a size.
 *
 * @returns bytes; undefined without the option.
 * @throws {VsockboxError} USAGE.
 */
export function sizeOption(args: Arguments, name: string): number | undefined {
  const value = args.string(name);
  return value === undefined ? undefined : parseSize(value, name);
}

/** `--allow-cid` and `--allow-local`. */
export const allowArguments = {
  "allow-cid": {
    type: "string",
    valueHint: "LIST",
    description: "CIDs that may connect, with commas between, or `any`",
  },
  "allow-local": {
    type: "boolean",
    description: "Also let this machine itself (CID 1) connect",
  },
} as const satisfies Record<string, ArgumentSpec>;

/** Reads {@link allowArguments}. */
export function allowedCids(args: Arguments, byDefault: AllowedCids): AllowedCids {
  const list = args.string("allow-cid");
  const allowed = list === undefined ? byDefault : parseAllowedCids(list);
  return args.flag("allow-local") ? withLocal(allowed) : allowed;
}
