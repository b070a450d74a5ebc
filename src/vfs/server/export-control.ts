/**
 * The control socket of an export: HTTP on a Unix socket of mode 0600, beside the first Unix socket that
 * guests connect to, or in the directory for sockets of this user. `GET /status` answers its state.
 */
import { join } from "node:path";
import { isAbstract, UNIX_PATH_MAX_BYTES } from "../../ffi/sockaddr.ts";
import type { SocketAddress } from "../../net/address.ts";
import { type HttpServer, serveHttp } from "../../net/http.ts";
import type { ExportStatus } from "./export-status.ts";

/** The suffix after the path of a socket. */
export const EXPORT_CONTROL_SUFFIX = ".export";

/** Returns the path of the Unix socket that an address stands for; undefined for one without a file. */
export function socketPathOf(address: SocketAddress): string | undefined {
  if (address.kind === "hybrid") return `${address.path}_${address.port}`;
  if (address.kind !== "unix" || isAbstract(address.path)) return undefined;
  return address.path;
}

/** Returns the path of the control socket; undefined if it would be too long, or has no directory. */
export function exportControlPath(
  addresses: readonly SocketAddress[],
  { pid, runDirectory }: { pid: number; runDirectory: string | undefined },
): string | undefined {
  const beside = addresses.map(socketPathOf).find((path) => path !== undefined);
  const inRunDirectory =
    runDirectory === undefined ? undefined : join(runDirectory, `vsockbox-${pid}`);
  return [beside, inRunDirectory]
    .filter((path) => path !== undefined)
    .map((path) => `${path}${EXPORT_CONTROL_SUFFIX}`)
    .find((path) => Buffer.byteLength(path) <= UNIX_PATH_MAX_BYTES);
}

/**
 * Serves the control socket.
 *
 * @throws {VsockboxError} CANNOT_CREATE.
 */
export function serveExportControl(path: string, status: () => ExportStatus): HttpServer {
  return serveHttp({ kind: "unix", path }, (request) => {
    const isStatus = request.method === "GET" && new URL(request.url).pathname === "/status";
    return isStatus ? Response.json(status()) : new Response("unknown request\n", { status: 404 });
  });
}
