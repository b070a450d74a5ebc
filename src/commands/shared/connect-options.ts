/** Arguments and habits that several commands share. */
import { originOfTarget } from "../../config/default-target.ts";
import { profileOf } from "../../config/profiles.ts";
import { parseSocketOwners, SOCKET_OWNER_VARIABLE } from "../../config/socket-owners.ts";
import { readAllowedCids, withLocal, type AllowedCids } from "../../net/allow-cid.ts";
import { DEFAULT_CONNECT_TIMEOUT_MS, type DialOptions } from "../../net/dial.ts";
import type { SocketOwners } from "../../net/socket-owner.ts";
import { say } from "../../ui/report.ts";
import { flag, option, type ArgumentValues } from "../../ui/argument.ts";
import { word, DURATION, SIZE, type ValueKind } from "../../ui/value-kind.ts";

/** `--json`. */
export const jsonArgument = {
  json: flag({ summary: "Print JSON instead of text" }),
};

/** The heading of options about reaching an address. */
export const CONNECTION = "Connection options";

/** The heading of options that limit what a service does. */
export const LIMITS_GROUP = "Limits";

/** `--connect-timeout`. */
const connectTimeoutArgument = {
  connectTimeout: option(DURATION, {
    heading: CONNECTION,
    default: DEFAULT_CONNECT_TIMEOUT_MS,
    summary: "Give up after this long without a connection, or an answer to it",
  }),
};

/** `--allow-socket-owner`. */
export const socketOwnerArgument = {
  allowSocketOwner: option(word("USER"), {
    heading: CONNECTION,
    defaultText: "your own and root",
    summary: `Also connect to Unix sockets on which this user listens, or \`any\`; also ${SOCKET_OWNER_VARIABLE}, or socket_owner of the profile`,
  }),
};

/** `--verbose` of commands that connect. */
export const verboseArgument = {
  verbose: flag({
    short: "v",
    summary:
      "Print the address, the steps of the connection and the time of each to standard error",
  }),
};

/** `--verbose`, `--connect-timeout` and `--allow-socket-owner`: {@link dialOptions} reads them. */
export const dialArguments = {
  ...verboseArgument,
  ...connectTimeoutArgument,
  ...socketOwnerArgument,
};

/**
 * Reads {@link socketOwnerArgument}.
 *
 * @param target the address as it was written, which may name a profile.
 * @throws {VsockboxError} CONFIG for a user who does not exist.
 */
export function socketOwners(
  args: ArgumentValues<typeof socketOwnerArgument>,
  target: string | undefined,
): SocketOwners {
  const given = args.allowSocketOwner;
  if (given !== undefined) return parseSocketOwners(given, "--allow-socket-owner");
  const profile = target === undefined ? undefined : profileOf(target)?.socketOwner;
  if (profile !== undefined) return parseSocketOwners(profile, "socket_owner");
  const variable = process.env[SOCKET_OWNER_VARIABLE] ?? "";
  return variable === "" ? [] : parseSocketOwners(variable, SOCKET_OWNER_VARIABLE);
}

/** Returns a function that prints each step with the time since this call. */
function stepPrinter(): (step: string) => void {
  const begin = performance.now();
  return (step) => say(`vsockbox: ${(performance.now() - begin).toFixed(1)} ms: ${step}`);
}

/**
 * Returns a function as {@link stepPrinter} does, once it has printed the setting that the target is from,
 * if the command line does not have it.
 */
export function targetStepPrinter(target: string | undefined): (step: string) => void {
  const print = stepPrinter();
  const origin = originOfTarget(target);
  if (origin !== undefined) print(`the target is ${target}, from ${origin}`);
  return print;
}

/** Reads {@link dialArguments} for a target as it was written. */
export function dialOptions(
  args: ArgumentValues<typeof dialArguments>,
  target: string | undefined,
  signal?: AbortSignal,
): DialOptions {
  return {
    signal,
    socketOwners: socketOwners(args, target),
    timeoutMs: args.connectTimeout,
    onStep: args.verbose ? targetStepPrinter(target) : undefined,
  };
}

/** Options of commands that receive files. */
export const receiveArguments = {
  preserveOwner: flag({
    summary: "Keep set-ID bits too and, as root, owners of received files; implies --preserve",
  }),
  maxSize: option(SIZE, { summary: "Receive at most this much in all, holes included" }),
};

/** CIDs with commas between, or `any`. */
export const CID_LIST: ValueKind<AllowedCids> = {
  valueName: "LIST",
  expected: "CIDs or names with commas between, such as 2,local, or any",
  parse: readAllowedCids,
  format: (allowed) => (allowed === "any" ? allowed : [...allowed].join(",")),
};

/** `--allow-cid` and `--allow-local`. */
export const allowArguments = {
  allowCid: option(CID_LIST, { summary: "CIDs that may connect, with commas between, or `any`" }),
  allowLocal: flag({ summary: "Also let this machine itself (CID 1) connect" }),
};

/** Reads {@link allowArguments}. */
export function allowedCids(
  args: ArgumentValues<typeof allowArguments>,
  byDefault: AllowedCids,
): AllowedCids {
  const allowed = args.allowCid ?? byDefault;
  return args.allowLocal ? withLocal(allowed) : allowed;
}
