/** Arguments and habits that several commands share. */
import { parseAllowedCids, withLocal, type AllowedCids } from "../net/allow-cid.ts";
import { DEFAULT_CONNECT_TIMEOUT_MS, type DialOptions } from "../net/dial.ts";
import { parseDuration } from "../ui/arguments.ts";
import type { Arguments, ArgumentSpec } from "../ui/command.ts";

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

/** Reads {@link connectTimeoutArgument}. */
export function dialOptions(args: Arguments, signal?: AbortSignal): DialOptions {
  const timeout = args.string("connect-timeout");
  return {
    signal,
    timeoutMs: timeout === undefined ? undefined : parseDuration(timeout, "connect-timeout"),
  };
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
