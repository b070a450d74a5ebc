/** What an Open asks for. Every request is JSON with an `op`; unknown fields are passed over. */
import type { Endpoint } from "../../text/endpoint.ts";
import {
  badField,
  field,
  type JsonObject,
  integerField,
  readString,
  readStrings,
} from "./json-fields.ts";
import { encodePath, type JsonPath, readNameField, readPathField } from "./paths.ts";
import {
  ARGV_FEATURE,
  decodeExecOperation,
  encodeExecOperation,
  type ExecOperation,
  readFlag,
  readTerminalSize,
} from "./exec-request.ts";
import type { TerminalSize } from "./messages.ts";

/** Attaches to a detached session. */
export interface AttachOperation {
  op: "attach";
  id: string;
  /** Offset in its output at which to begin, in bytes; undefined: the oldest byte that is kept. */
  offset: number | undefined;
  /** The End of the client's input ends the session's input. */
  halfClose: boolean;
  /** The size of the terminal that joins. */
  tty: TerminalSize | undefined;
}

/** Reads the output of a detached session: of several beginnings, the last one counts. */
export interface LogsOperation {
  op: "logs";
  id: string;
  /** As in {@link AttachOperation}. */
  offset: number | undefined;
  /** Continue with future output. */
  follow: boolean;
  /** Begin so many lines before the end. Feature `log-parts`, as the next two. */
  tail: number | undefined;
  /** Begin with the first byte that is not older than this, in milliseconds. */
  sinceMs: number | undefined;
  /** Send a record with the time ahead of output: output-records.ts. */
  timestamps: boolean;
}

/** Ends a detached session, or sends it a signal. */
export interface KillOperation {
  op: "kill";
  id: string;
  /** Undefined: SIGTERM, and SIGKILL five seconds later. */
  signal: number | undefined;
  /** Forget it, with its output, once it has ended. */
  remove: boolean;
}

/** Options of a transfer. */
export interface TransferFlags {
  /** Keep modes, times and, as root, owners. */
  preserve: boolean;
  /** Continue an earlier transfer, and skip equal files. */
  resume: boolean;
  /** Compare a sha256 of every file. */
  checksum: boolean;
  /** Leave files alone that are there already. */
  keep: boolean;
}

/** Receives files and trees into an existing directory. */
export interface PutOperation extends TransferFlags {
  op: "put";
  path: Uint8Array;
}

/** Sends a file or a tree. */
export interface GetOperation extends TransferFlags {
  op: "get";
  path: Uint8Array;
  /** The name under which it is sent. */
  name: Uint8Array;
  recursive: boolean;
}

/** One query or change of the file system. */
export type FileOperation =
  | { op: "stat"; path: Uint8Array; follow: boolean }
  | { op: "list"; path: Uint8Array }
  | { op: "glob"; pattern: Uint8Array }
  | { op: "mkdir"; path: Uint8Array; parents: boolean; mode: number | undefined }
  | {
      op: "remove";
      path: Uint8Array;
      recursive: boolean;
      force: boolean;
      /** What cannot be removed is listed in the result; otherwise it is the error. */
      report: boolean;
      /** A directory that `path` begins with: no link below it is followed. Feature `remove-beneath`. */
      beneath?: Uint8Array | undefined;
    }
  | { op: "rename"; path: Uint8Array; to: Uint8Array; replace: boolean };

/** Reports changes of a file or directory as they happen: watch-records.ts. */
export interface WatchOperation {
  op: "watch";
  path: Uint8Array;
  /** Watches the directories below it as well. */
  recursive: boolean;
  /** Patterns of names that are not watched or reported. */
  exclude: readonly string[];
}

/** Mounts what the host serves over the channel in the VFS protocol, until the channel ends. */
export interface MountOperation {
  op: "mount";
  /** Where in the guest; it is made if it does not exist. */
  path: Uint8Array;
  readOnly: boolean;
  /** How much the guest keeps: the word of `--cache`. */
  cache: string;
}

/** Connects inside the guest, or listens there. */
export interface EndpointOperation {
  op: "dial" | "listen";
  endpoint: Endpoint;
}

/** Everything that a host may ask of an agent. */
export type ChannelRequest =
  | ExecOperation
  | AttachOperation
  | LogsOperation
  | KillOperation
  | PutOperation
  | GetOperation
  | FileOperation
  | WatchOperation
  | MountOperation
  | EndpointOperation
  | { op: "sessions" }
  | { op: "info" }
  /** Asks for the metrics of the agent and its guest, a record each: metric-records.ts. */
  | { op: "metrics" }
  /** Asks for the open connections, a record each: connection-records.ts. */
  | { op: "connections" }
  /** Asks for the home directory of a user; undefined: of the agent's own. */
  | { op: "home"; user: string | undefined }
  | { op: "power"; action: "poweroff" | "reboot" };

const MODE_MAX = 0o7777;

/** Reads the flags of a transfer. */
function readTransferFlags(what: string, object: JsonObject): TransferFlags {
  return {
    preserve: readFlag(what, object, "preserve"),
    resume: readFlag(what, object, "resume"),
    checksum: readFlag(what, object, "checksum"),
    keep: readFlag(what, object, "keep"),
  };
}

function readEndpoint(what: string, object: JsonObject, leastPort: number): Endpoint {
  const path = readString(what, object, "path");
  if (path !== undefined) return { kind: "unix", path };
  const port = integerField(what, object, "port", 65_535);
  if (port === undefined || port < leastPort) throw badField(what, "the port is missing");
  return { kind: "tcp", host: readString(what, object, "host") ?? "127.0.0.1", port };
}

function required(what: string, object: JsonObject, name: string): string {
  const value = readString(what, object, name);
  if (value === undefined) throw badField(what, `${name} is missing`);
  return value;
}

/**
 * Reads what an Open asks for.
 *
 * @throws {VsockboxError} BAD_DATA: no or an unknown `op`, a field of a wrong type.
 */
export function decodeChannelRequest(object: JsonObject): ChannelRequest {
  const op = field(object, "op");
  const what = typeof op === "string" ? `${op.slice(0, 20)} request` : "request";
  switch (op) {
    case "exec":
      return decodeExecOperation(object);
    case "attach":
      return {
        op,
        id: required(what, object, "id"),
        offset: integerField(what, object, "offset", Number.MAX_SAFE_INTEGER),
        halfClose: readFlag(what, object, "halfClose"),
        tty: readTerminalSize(what, object),
      };
    case "logs":
      return {
        op,
        id: required(what, object, "id"),
        offset: integerField(what, object, "offset", Number.MAX_SAFE_INTEGER),
        follow: readFlag(what, object, "follow"),
        tail: integerField(what, object, "tail", Number.MAX_SAFE_INTEGER),
        sinceMs: integerField(what, object, "sinceMs", Number.MAX_SAFE_INTEGER),
        timestamps: readFlag(what, object, "timestamps"),
      };
    case "kill":
      return {
        op,
        id: required(what, object, "id"),
        signal: integerField(what, object, "signal", 64) || undefined,
        remove: readFlag(what, object, "remove"),
      };
    case "put":
      return { op, path: readPathField(what, object, "path"), ...readTransferFlags(what, object) };
    case "get":
      return {
        op,
        path: readPathField(what, object, "path"),
        name: readNameField(what, object, "name"),
        recursive: readFlag(what, object, "recursive"),
        ...readTransferFlags(what, object),
      };
    case "dial":
      return { op, endpoint: readEndpoint(what, object, 1) };
    case "listen":
      return { op, endpoint: readEndpoint(what, object, 0) };
    case "home":
      return { op, user: readString(what, object, "user") };
    case "watch":
      return {
        op,
        path: readPathField(what, object, "path"),
        recursive: readFlag(what, object, "recursive"),
        exclude: readStrings(what, object, "exclude"),
      };
    case "mount":
      return {
        op,
        path: readPathField(what, object, "path"),
        readOnly: readFlag(what, object, "readOnly"),
        cache: required(what, object, "cache"),
      };
    case "sessions":
    case "info":
    case "metrics":
    case "connections":
      return { op };
    case "power": {
      const action = required(what, object, "action");
      if (action !== "poweroff" && action !== "reboot") throw badField(what, "unknown action");
      return { op, action };
    }
    default:
      return decodeFileOperation(what, op, object);
  }
}

function decodeFileOperation(what: string, op: unknown, object: JsonObject): FileOperation {
  switch (op) {
    case "stat":
      return {
        op,
        path: readPathField(what, object, "path"),
        follow: readFlag(what, object, "follow"),
      };
    case "list":
      return { op, path: readPathField(what, object, "path") };
    case "glob":
      return { op, pattern: readPathField(what, object, "pattern") };
    case "mkdir":
      return {
        op,
        path: readPathField(what, object, "path"),
        parents: readFlag(what, object, "parents"),
        mode: integerField(what, object, "mode", MODE_MAX),
      };
    case "remove":
      return {
        op,
        path: readPathField(what, object, "path"),
        recursive: readFlag(what, object, "recursive"),
        force: readFlag(what, object, "force"),
        report: readFlag(what, object, "report"),
        beneath:
          field(object, "beneath") === undefined
            ? undefined
            : readPathField(what, object, "beneath"),
      };
    case "rename":
      return {
        op,
        path: readPathField(what, object, "path"),
        to: readPathField(what, object, "to"),
        replace: readFlag(what, object, "replace"),
      };
    default:
      throw badField(what, op === undefined ? "op is missing" : "unknown request");
  }
}

/**
 * The request as JSON value.
 *
 * @param features of the agent.
 */
export function encodeChannelRequest(
  request: ChannelRequest,
  features: readonly string[] = [ARGV_FEATURE],
): JsonObject {
  switch (request.op) {
    case "exec":
      return compact(encodeExecOperation(request, features));
    case "dial":
    case "listen": {
      const { op, endpoint } = request;
      return endpoint.kind === "unix"
        ? { op, path: endpoint.path }
        : { op, host: endpoint.host, port: endpoint.port };
    }
    default: {
      const paths: Record<string, JsonPath> = {};
      for (const [name, value] of Object.entries(request)) {
        if (value instanceof Uint8Array) paths[name] = encodePath(value);
      }
      return compact({ ...request, ...paths });
    }
  }
}

function compact(object: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(object).filter(([, value]) => value !== undefined && value !== false),
  );
}

/** The control messages of a running command. */
export type ExecControlMessage =
  { kind: "signal"; signal: number } | { kind: "resize"; size: TerminalSize };

/**
 * Reads a Control of a command's channel.
 *
 * @throws {VsockboxError} BAD_DATA.
 */
export function decodeExecControl(object: JsonObject): ExecControlMessage {
  const what = "control";
  const signal = integerField(what, object, "signal", 64);
  if (signal !== undefined && signal > 0) return { kind: "signal", signal };
  const size = readTerminalSize(what, object);
  if (size === undefined) throw badField(what, "it has neither a signal nor a size");
  return { kind: "resize", size };
}

/** An agent's notice of a new connection to the listener of a `listen` channel. */
export interface AcceptedOperation {
  op: "accepted";
  /** The channel of the `listen`. */
  listener: number;
}

/**
 * Reads the Open of an agent: only `accepted` has a place there.
 *
 * @throws {VsockboxError} BAD_DATA.
 */
export function decodeAccepted(object: JsonObject): AcceptedOperation {
  const what = "accepted";
  const listener = integerField(what, object, "listener", 0xffff_ffff);
  if (field(object, "op") !== "accepted" || listener === undefined) {
    throw badField(what, "an agent cannot open this channel");
  }
  return { op: "accepted", listener };
}
