/**
 * The extension between two vsockbox ends: a JSON object after the NUL of a C string.
 *
 * | object | fields |
 * | --- | --- |
 * | OPEN_*, asked | `v`, `term`, `max_data` |
 * | OPEN_*, answered | `v`, `version`, `max_data` |
 * | START, asked | `v`, `features`, `path`, `name`, `window`, `overwrite`, `recursive`, `resume`, `checksum`, `preserve` |
 * | READY, answered | `v`, `version`, `features`, `window`, `size` |
 *
 * With the feature `tree` on both sides the connection continues, after the answer, in the channel
 * frames of the agent's protocol, in which `cp` moves files, directories, links and holes with their
 * modes and times. Without it the transfer is the C programs'.
 */
import {
  type JsonObject,
  badField,
  field,
  integerField,
  readString,
  readStrings,
} from "../agent/json-fields.ts";
import { encodePath, readNameField, readPathField } from "../agent/paths.ts";
import { LARGE_DATA_BYTES, MAX_SHELL_DATA_BYTES } from "./message.ts";

/** The version of these objects. */
const VERSION = 1;

/** Transfers in channel frames. */
export const TREE_FEATURE = "tree";

/** Largest credit that is accepted from a peer at once, in bytes. */
const MAX_WINDOW_BYTES = 0x7fff_ffff;

/** Least credit with the feature `tree`: the largest data frame and any record fit, in bytes. */
const MIN_WINDOW_BYTES = 512 * 1024;

/** The fields of a terminal's request and answer. */
export interface TerminalExtension {
  /** TERM of the client; undefined: the C programs' `xterm`. */
  term: string | undefined;
  /** Most data in one message, in bytes. */
  maxData: number;
}

/** What a client asks for with a transfer. */
export interface TransferExtension {
  features: readonly string[];
  /** The path at the server, exactly. */
  path: Uint8Array;
  /** The name of the transferred file or directory in its first record. */
  name: Uint8Array;
  /** The client's receive window of a channel, in bytes. */
  window: number;
  overwrite: boolean;
  recursive: boolean;
  resume: boolean;
  checksum: boolean;
  preserve: boolean;
}

/** What the server answers to a transfer that it grants. */
export interface TransferGrant {
  features: readonly string[];
  window: number;
  /** Bytes of the file that is downloaded, for progress; undefined if that is unknown. */
  size?: number | undefined;
}

/** The object of OPEN_*, in both directions. */
export function encodeTerminalExtension(
  { term, maxData }: TerminalExtension,
  version?: string,
): JsonObject {
  return {
    v: VERSION,
    ...(version === undefined ? {} : { version }),
    ...(term === undefined ? {} : { term }),
    max_data: maxData,
  };
}

/**
 * Reads the object of OPEN_*; the smaller limit of both sides counts.
 *
 * @throws {VsockboxError} BAD_DATA.
 */
export function decodeTerminalExtension(value: JsonObject): TerminalExtension {
  const what = "terminal extension";
  checkVersion(what, value);
  const maxData =
    integerField(what, value, "max_data", Number.MAX_SAFE_INTEGER) ?? MAX_SHELL_DATA_BYTES;
  if (maxData < MAX_SHELL_DATA_BYTES)
    throw badField(what, `max_data is below ${MAX_SHELL_DATA_BYTES}`);
  return {
    term: readString(what, value, "term"),
    maxData: Math.min(maxData, LARGE_DATA_BYTES),
  };
}

/** The object of a START. */
export function encodeTransferExtension(extension: TransferExtension): JsonObject {
  const { features, path, name, window, ...flags } = extension;
  const set = Object.entries(flags).filter(([, isSet]) => isSet);
  return {
    v: VERSION,
    features,
    path: encodePath(path),
    name: encodePath(name),
    window,
    ...Object.fromEntries(set),
  };
}

/**
 * Reads the object of a START.
 *
 * @throws {VsockboxError} BAD_DATA.
 */
export function decodeTransferExtension(value: JsonObject): TransferExtension {
  const what = "transfer extension";
  checkVersion(what, value);
  const flag = (name: string) => {
    const isSet = field(value, name) ?? false;
    if (typeof isSet !== "boolean") throw badField(what, `${name} is neither true nor false`);
    return isSet;
  };
  return {
    ...readFeatures(what, value),
    path: readPathField(what, value, "path"),
    name: readNameField(what, value, "name"),
    overwrite: flag("overwrite"),
    recursive: flag("recursive"),
    resume: flag("resume"),
    checksum: flag("checksum"),
    preserve: flag("preserve"),
  };
}

/** The object of a granted READY. */
export function encodeGrantExtension(
  { features, window, size }: TransferGrant,
  version: string,
): JsonObject {
  return { v: VERSION, version, features, window, ...(size === undefined ? {} : { size }) };
}

/**
 * Reads the object of a granted READY.
 *
 * @throws {VsockboxError} BAD_DATA.
 */
export function decodeGrantExtension(value: JsonObject): TransferGrant {
  const what = "transfer grant";
  checkVersion(what, value);
  const size = integerField(what, value, "size", Number.MAX_SAFE_INTEGER);
  return { ...readFeatures(what, value), size };
}

function readFeatures(what: string, value: JsonObject): TransferGrant {
  const features = readStrings(what, value, "features");
  const window = integerField(what, value, "window", MAX_WINDOW_BYTES) ?? 0;
  if (features.includes(TREE_FEATURE) && window < MIN_WINDOW_BYTES) {
    throw badField(what, `a window of ${window} bytes is below ${MIN_WINDOW_BYTES}`);
  }
  return { features, window };
}

function checkVersion(what: string, value: JsonObject): void {
  // A later version adds fields and features, and changes none.
  const version = integerField(what, value, "v", Number.MAX_SAFE_INTEGER);
  if (version === undefined || version < VERSION) throw badField(what, "v is missing or below 1");
}
