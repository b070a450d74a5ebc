/** The state of a running export, as its control socket answers it and `export status --json` prints it. */
import { VsockboxError } from "../../errors.ts";
import type { FileServer } from "./file-server.ts";

/** A connection of a guest. */
export interface ExportConnectionStatus {
  peer: string;
  /** Null until it has opened one. */
  export: string | null;
  dialect: string | null;
  open_files: number;
  requests_in_flight: number;
  requests: number;
  read_bytes: number;
  written_bytes: number;
  age_seconds: number;
}

/** The state of an export. */
export interface ExportStatus {
  pid: number;
  addresses: readonly string[];
  exports: readonly { name: string; path: string }[];
  read_only: boolean;
  uptime_seconds: number;
  connections_open: number;
  connections_limit: number;
  guest_connections_limit: number;
  /** Since the start, those that have ended among them. */
  connections_total: number;
  open_files: number;
  requests_in_flight: number;
  requests_total: number;
  read_bytes_total: number;
  written_bytes_total: number;
  connections: readonly ExportConnectionStatus[];
}

/** What a server does not know of itself. */
export type ExportFacts = Pick<ExportStatus, "addresses" | "exports" | "read_only"> & {
  /** When it was started, of performance.now(), in milliseconds. */
  readonly sinceMs: number;
};

function secondsSince(ms: number): number {
  return Math.round(performance.now() - ms) / 1000;
}

/** Returns the state of an export of this process. */
export function exportStatus(
  server: Pick<FileServer, "served" | "counters" | "limits">,
  { addresses, exports, read_only, sinceMs }: ExportFacts,
): ExportStatus {
  const connections = server.served.map(({ peer, sinceMs: openedMs, counters, opened }) => ({
    peer,
    export: opened?.name ?? null,
    dialect: opened === undefined ? null : opened.isGo ? "go" : "vsockbox",
    open_files: opened?.openFiles ?? 0,
    requests_in_flight: counters.inFlight,
    requests: counters.requests,
    read_bytes: counters.readBytes,
    written_bytes: counters.writtenBytes,
    age_seconds: secondsSince(openedMs),
  }));
  const { counters, limits } = server;
  return {
    ...{ pid: process.pid, addresses, exports, read_only },
    uptime_seconds: secondsSince(sinceMs),
    connections_open: connections.length,
    connections_limit: limits.most,
    guest_connections_limit: limits.mostOfGuest,
    connections_total: counters.connections,
    open_files: connections.reduce((sum, one) => sum + one.open_files, 0),
    requests_in_flight: counters.inFlight,
    requests_total: counters.requests,
    read_bytes_total: counters.readBytes,
    written_bytes_total: counters.writtenBytes,
    connections,
  };
}

/** How a value of another process is checked. */
type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === "string";
const isNumber: Check = (value) => typeof value === "number" && value >= 0;
const isTextOrNull: Check = (value) => value === null || isText(value);
const isListOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);
const isObjectOf =
  (shape: Readonly<Record<string, Check>>): Check =>
  (value) =>
    typeof value === "object" &&
    value !== null &&
    Object.entries(shape).every(
      ([name, check]) => Object.hasOwn(value, name) && check(Reflect.get(value, name)),
    );

const CONNECTION: Readonly<Record<keyof ExportConnectionStatus, Check>> = {
  ...{ peer: isText, export: isTextOrNull, dialect: isTextOrNull, open_files: isNumber },
  ...{ requests_in_flight: isNumber, requests: isNumber, read_bytes: isNumber },
  ...{ written_bytes: isNumber, age_seconds: isNumber },
};

const STATUS: Readonly<Record<keyof ExportStatus, Check>> = {
  pid: isNumber,
  addresses: isListOf(isText),
  exports: isListOf(isObjectOf({ name: isText, path: isText })),
  read_only: (value) => typeof value === "boolean",
  ...{ uptime_seconds: isNumber, connections_open: isNumber, connections_limit: isNumber },
  ...{ guest_connections_limit: isNumber, connections_total: isNumber, open_files: isNumber },
  ...{ requests_in_flight: isNumber, requests_total: isNumber, read_bytes_total: isNumber },
  written_bytes_total: isNumber,
  connections: isListOf(isObjectOf(CONNECTION)),
};

/**
 * Reads the state of an export of another process; unknown keys stay.
 *
 * @throws {VsockboxError} BAD_DATA for anything else.
 */
export function readExportStatus(value: unknown): ExportStatus {
  if (isObjectOf(STATUS)(value)) return value as ExportStatus;
  throw new VsockboxError({
    ...{ code: "BAD_DATA", operation: "read status" },
    message: "it is not the state of an export",
  });
}
