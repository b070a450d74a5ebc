/** Finds running exports, asks each for its state, and prints it. */
import { lstatSync } from "node:fs";
import { resolve } from "node:path";
import { VFS_PORT } from "../../agent/ports.ts";
import { requestControl } from "../../device/observe/control-request.ts";
import { VsockboxError } from "../../errors.ts";
import { listeningSockets } from "../../net/unix-sockets.ts";
import { countOf } from "../../text/count.ts";
import { table } from "../../text/table.ts";
import { formatBytes, formatUptime } from "../../text/units.ts";
import { print, printJson, say } from "../../ui/report.ts";
import { EXPORT_CONTROL_SUFFIX } from "../../vfs/server/export-control.ts";
import { type ExportStatus, readExportStatus } from "../../vfs/server/export-status.ts";

/**
 * Prints the states of exports.
 *
 * @param paths a socket of an export each; none: all of this user.
 * @throws {VsockboxError} UNAVAILABLE for a named export that does not run; as `requestControl`.
 */
export async function showExports(paths: readonly string[], isJson: boolean): Promise<void> {
  const found = await askAll();
  const statuses =
    paths.length === 0 ? answered(found) : await Promise.all(paths.map(named(found)));
  if (isJson) {
    for (const status of statuses) printJson(status);
    return;
  }
  if (statuses.length === 0) say("vsockbox: no export of yours is running");
  for (const [index, status] of statuses.entries()) {
    if (index > 0) print("");
    for (const line of exportLines(status)) print(line);
  }
}

/** A control socket with the answer of its process, or why it has none. */
interface Asked {
  control: string;
  answer: ExportStatus | VsockboxError;
}

async function ask(control: string): Promise<ExportStatus> {
  const operation = "read the status from";
  const answer = await requestControl(control, { operation, path: "/status", service: "export" });
  return readExportStatus(answer);
}

/** One that ends at this moment, or belongs to another program, must not hide the others. */
function askAll(): Promise<Asked[]> {
  return Promise.all(
    controlSockets().map(async (control) => {
      try {
        return { control, answer: await ask(control) };
      } catch (thrown) {
        if (!(thrown instanceof VsockboxError)) throw thrown;
        return { control, answer: thrown };
      }
    }),
  );
}

function controlSockets(): string[] {
  const user = process.geteuid?.();
  const own = listeningSockets().filter(
    (path) => path.endsWith(EXPORT_CONTROL_SUFFIX) && ownerOf(path) === user,
  );
  return [...new Set(own)].sort();
}

function ownerOf(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.uid;
}

function answered(found: readonly Asked[]): ExportStatus[] {
  return found.flatMap(({ control, answer }) => {
    if (!(answer instanceof VsockboxError)) return [answer];
    if (answer.code === "TIMEOUT")
      say(`vsockbox: ${control} does not answer: its export may be stopped`);
    return [];
  });
}

/** Whether an export has a socket of this name: that of an address, its VM's, or the control socket. */
export function hasSocket(status: Pick<ExportStatus, "addresses">, path: string): boolean {
  const names = new Set([path, `unix:${path}`, `hybrid:${path}:${VFS_PORT}`]);
  return status.addresses.some((address) => names.has(address) || bound(address) === path);
}

/** The socket that `hybrid:PATH:PORT` stands for. */
function bound(address: string): string | undefined {
  const [, path, port] = /^hybrid:(.*):(\d+)$/.exec(address) ?? [];
  return path === undefined ? undefined : `${path}_${port}`;
}

function named(found: readonly Asked[]): (path: string) => Promise<ExportStatus> {
  return async (path) => {
    const wanted = resolve(path);
    if (wanted.endsWith(EXPORT_CONTROL_SUFFIX)) return ask(wanted);
    for (const { answer } of found) {
      if (answer instanceof VsockboxError) continue;
      if (hasSocket(answer, path) || hasSocket(answer, wanted)) return answer;
    }
    throw new VsockboxError({
      ...{ code: "UNAVAILABLE", operation: "find the export of", address: path },
      message: "no export of yours that answers listens there",
      hint: "`vsockbox export status` without a path lists all that run",
    });
  };
}

const HEAD = ["PEER", "EXPORT", "FILES", "WAITING", "REQUESTS", "READ", "WRITTEN", "AGE"] as const;

/** Returns the lines of one export: what it serves, its counters, and a table of its connections. */
export function exportLines(status: ExportStatus): string[] {
  const mode = status.read_only ? ", read-only" : "";
  const lines = [
    `${status.addresses.join(", ")}: process ${status.pid}, up ${formatUptime(status.uptime_seconds)}${mode}`,
    ...status.exports.map(({ name, path }) => `  export       ${name}: ${path}`),
    `  connections  ${status.connections_open} of ${status.connections_limit}, ${status.guest_connections_limit} of one guest; ${status.connections_total} since the start`,
    `  requests     ${status.requests_total}, ${status.requests_in_flight} of them in flight; ${countOf(status.open_files, "open file")}`,
    `  data         ${formatBytes(status.read_bytes_total)} read, ${formatBytes(status.written_bytes_total)} written`,
  ];
  if (status.connections.length === 0) return lines;
  const rows = status.connections.map((one) => [
    ...[one.peer, one.export ?? "-", String(one.open_files), String(one.requests_in_flight)],
    ...[String(one.requests), formatBytes(one.read_bytes), formatBytes(one.written_bytes)],
    formatUptime(one.age_seconds),
  ]);
  return [...lines, "", ...table(HEAD, rows).map((line) => `  ${line}`)];
}
