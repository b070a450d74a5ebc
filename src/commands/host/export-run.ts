/** An export from its start to its end. */
import { basename, resolve } from "node:path";
import { VFS_PORT } from "../../agent/ports.ts";
import { commandLineError, toVsockboxError } from "../../errors.ts";
import { formatAddress, type SocketAddress, withDefaultPort } from "../../net/address.ts";
import { reportReady } from "../../process/service/daemon.ts";
import { type Log, openLog } from "../../process/service/log.ts";
import { notifyReady, notifyStopping, takeNotifySocket } from "../../process/service/notify.ts";
import {
  type EndingSignal,
  onEndingSignal,
  SERVICE_ENDING_SIGNALS,
} from "../../process/signals.ts";
import { type Metric, encodeMetrics } from "../../protocols/prometheus/text.ts";
import { EXPORT_NAME_RULE, isExportName } from "../../protocols/vfs/export-name.ts";
import { countOf } from "../../text/count.ts";
import { formatEndpoint } from "../../text/endpoint.ts";
import { printJson } from "../../ui/report.ts";
import { exportControlPath, serveExportControl } from "../../vfs/server/export-control.ts";
import { exportStatus } from "../../vfs/server/export-status.ts";
import { ExportedDirectory } from "../../vfs/server/exported-directory.ts";
import { type ConnectionEvent, FileServer } from "../../vfs/server/file-server.ts";
import { HiddenNames } from "../../vfs/server/hidden-names.ts";
import { checkIdPairs, OwnerMap } from "../../vfs/server/owner-map.ts";
import { readAddress } from "../shared/address-kind.ts";
import { allowedCids } from "../shared/connect-options.ts";
import { pidFileOf } from "../shared/service.ts";
import type { ExportValues } from "./export.ts";

/** Serves until a signal ends it; returns the exit status. */
export async function runExport(args: ExportValues): Promise<number> {
  takeNotifySocket();
  const names = exportNames(args.directories, args.as);
  const owners = ownerMap(args);
  const log = openLog({
    tag: "export",
    path: args.logFile,
    threshold: args.quiet ? "error" : "info",
  });
  const ended = Promise.withResolvers<EndingSignal>();
  using _signals = onEndingSignal((signal) => ended.resolve(signal), SERVICE_ENDING_SIGNALS);
  const server = startServer({ args, names, owners }, log);
  try {
    const listening = listenAll(args, server, log);
    using _metrics = await startMetrics(args, server, log);
    using _control = startControl({ args, server, listening, names, log });
    using _pidFile = await pidFileOf(args, () => server.close());
    announce(args, listening, names, log);
    const signal = await ended.promise;
    notifyStopping();
    log.info(`${signal}: ending ${countOf(server.connections, "connection")}`);
    return 0;
  } finally {
    await server.close();
  }
}

const NAMING_HINT = "name the exports with --as, once for each directory";

/**
 * Names the exports: those of `--as` in turn, then the directories' own.
 *
 * @throws {VsockboxError} USAGE if there are more names than directories, one twice, or a directory whose
 * own name cannot be that of an export.
 */
export function exportNames(
  directories: readonly string[],
  given: readonly string[],
): Map<string, string> {
  if (given.length > directories.length) {
    throw commandLineError(
      "export",
      `--as is given ${given.length} times for ${countOf(directories.length, "directory", "directories")}`,
    );
  }
  const names = new Map<string, string>();
  for (const [index, directory] of directories.entries()) {
    const path = resolve(directory);
    const name = given[index] ?? (basename(path) || "root");
    if (!isExportName(name)) {
      const message = `the name of ${path} cannot name an export: expected ${EXPORT_NAME_RULE}`;
      throw commandLineError("export", message, NAMING_HINT);
    }
    if (names.has(name)) {
      throw commandLineError("export", `two exports have the name ${name}`, NAMING_HINT);
    }
    names.set(name, path);
  }
  return names;
}

/** @throws {VsockboxError} USAGE for an id that is mapped twice. */
function ownerMap(args: ExportValues): OwnerMap {
  return new OwnerMap({
    users: checkIdPairs("--map-uid", args.mapUid),
    groups: checkIdPairs("--map-gid", args.mapGid),
    squash: args.squash,
  });
}

/** What is exported. */
interface Plan {
  args: ExportValues;
  /** Paths by the names of the exports. */
  names: ReadonlyMap<string, string>;
  owners: OwnerMap;
}

function startServer({ args, names, owners }: Plan, log: Log): FileServer {
  const policy = {
    isReadOnly: args.readOnly,
    hasXattr: args.xattr,
    hidden: new HiddenNames(args.hide),
    owners,
    maxOpenFiles: args.maxOpenFiles,
    onWatchFailure: (error: Error) =>
      log.warn(`guests are not notified of changes: ${error.message}`),
  };
  const exports = new Map<string, ExportedDirectory>();
  for (const [name, path] of names) exports.set(name, ExportedDirectory.open(path, policy));
  return new FileServer({
    exports,
    mountPoint: args.mountPoint,
    maxConnections: args.maxConnections,
    maxGuestConnections: args.maxGuestConnections,
    onEvent: (event) => report(event, args.json, log),
  });
}

function listenAll(args: ExportValues, server: FileServer, log: Log): SocketAddress[] {
  const given = args.listen.length > 0 ? args.listen : [readAddress(`vsock::${VFS_PORT}`)];
  const allowed = allowedCids(args, "any");
  return given.map(({ address }) => {
    const listening = server.listen(withDefaultPort(address, VFS_PORT), allowed, (reason) =>
      log.warn(`${reason}; guests have to wait`),
    );
    if (listening.kind === "vsock" && allowed === "any") {
      log.warn("every guest may connect; --allow-cid CID,... limits them");
    }
    return listening;
  });
}

function announce(
  args: ExportValues,
  listening: readonly SocketAddress[],
  names: ReadonlyMap<string, string>,
  log: Log,
): void {
  const where = `listening on ${listening.map((address) => formatAddress(address)).join(", ")}`;
  if (args.json) {
    printJson({
      event: "listening",
      addresses: listening.map((address) => formatAddress(address)),
      exports: [...names].map(([name, path]) => ({ name, path })),
      read_only: args.readOnly,
    });
  }
  const exported = [...names].map(([name, path]) => `${path} as ${name}`).join(", ");
  log.info(`${where}: ${exported}${args.readOnly ? ", read-only" : ""}`);
  const problem = notifyReady(where);
  if (problem !== undefined) log.warn(problem.message);
  reportReady();
}

/** A line of the log, and with `--json` an object, for what happened to a connection. */
function report(event: ConnectionEvent, json: boolean, log: Log): void {
  switch (event.kind) {
    case "opened": {
      const dialect = event.isGo ? "go" : "vsockbox";
      if (json) printJson({ event: "opened", peer: event.peer, export: event.name, dialect });
      log.info(`${event.peer} has opened ${event.name}${event.isGo ? " (Go dialect)" : ""}`);
      return;
    }
    case "closed": {
      const reason = event.error?.message ?? null;
      if (json) printJson({ event: "closed", peer: event.peer, reason });
      if (reason === null) log.info(`${event.peer} has closed its connection`);
      else log.warn(`${event.peer}: ${reason}`);
      return;
    }
    case "refused":
      if (json) printJson({ event: "refused", peer: event.peer, reason: event.reason });
      log.warn(`${event.peer} was refused: ${event.reason}`);
      return;
  }
}

/** What the control socket answers from. */
interface Controlled {
  args: ExportValues;
  server: FileServer;
  listening: readonly SocketAddress[];
  names: ReadonlyMap<string, string>;
  log: Log;
}

/** Without a control socket `export status` does not find this export; all else goes on. */
function startControl({ args, server, listening, names, log }: Controlled): Disposable | undefined {
  const runDirectory =
    process.env["XDG_RUNTIME_DIR"] ?? (process.getuid?.() === 0 ? "/run" : undefined);
  const path = exportControlPath(listening, { pid: process.pid, runDirectory });
  const facts = {
    addresses: listening.map((address) => formatAddress(address)),
    exports: [...names].map(([name, directory]) => ({ name, path: directory })),
    ...{ read_only: args.readOnly, sinceMs: performance.now() },
  };
  try {
    if (path === undefined) return undefined;
    const http = serveExportControl(resolve(path), () => exportStatus(server, facts));
    return { [Symbol.dispose]: () => http.close() };
  } catch (thrown) {
    log.warn(`cannot create the control socket: ${toVsockboxError(thrown).reason}`);
    return undefined;
  }
}

/** Returns the metrics of an export. */
export function exportMetrics(server: Pick<FileServer, "counters" | "connections">): Metric[] {
  const { requests, readBytes, writtenBytes, connections } = server.counters;
  const metric = (name: string, type: "counter" | "gauge", help: string, value: number) => ({
    ...{ name: `vsockbox_export_${name}`, type, help },
    samples: [{ labels: {}, value }],
  });
  return [
    metric("connections", "gauge", "Connections of guests", server.connections),
    metric("connections_total", "counter", "Connections since the start", connections),
    metric("requests_total", "counter", "Requests of guests", requests),
    metric("read_bytes_total", "counter", "Data that guests have read", readBytes),
    metric("written_bytes_total", "counter", "Data that guests have written", writtenBytes),
  ];
}

/** @throws {VsockboxError} CANNOT_CREATE. */
async function startMetrics(
  { metrics }: ExportValues,
  server: FileServer,
  log: Log,
): Promise<Disposable | undefined> {
  if (metrics === undefined) return undefined;
  const { METRICS_PATH, serveMetrics } = await import("../../net/metrics-server.ts");
  try {
    const http = serveMetrics(metrics, () => encodeMetrics(exportMetrics(server)));
    log.info(`metrics are at ${METRICS_PATH} on ${formatEndpoint(http.endpoint)}`);
    return { [Symbol.dispose]: () => http.close() };
  } catch (thrown) {
    throw toVsockboxError(thrown, "serve metrics");
  }
}
