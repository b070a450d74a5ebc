/** Small HTTP servers for local tools, on a TCP address or a Unix socket. */
import { invalidValue, reasonOf, VsockboxError } from "../errors.ts";
import { encodeSockaddrUn } from "../ffi/sockaddr.ts";
import { type Endpoint, formatEndpoint } from "../text/endpoint.ts";
import { formatHostPort } from "../text/endpoint.ts";
import { inodeOf, removeStaleSocket } from "./listen.ts";

/** A request's largest body, in bytes. */
const MAX_BODY_BYTES = 64 * 1024;

const ALL_ADDRESSES = "0.0.0.0";

/** A server that answers until it is closed. */
export interface HttpServer {
  /** The address, with the port that the kernel chose if port 0 was asked for. */
  readonly endpoint: Endpoint;
  /** Ends all connections, and removes the socket file. */
  close(): void;
}

/**
 * Parses an address to serve on: `tcp:HOST:PORT`, `HOST:PORT`, `:PORT` for all local addresses, or
 * `unix:PATH`. IPv6 stands in brackets; port 0 lets the kernel choose.
 *
 * @throws {VsockboxError} USAGE with the right forms.
 */
export function parseHttpAddress(text: string, option: string): Endpoint {
  const fail = (message: string) =>
    invalidValue({
      value: text,
      name: `--${option}`,
      message,
      hint: "write 127.0.0.1:PORT, [::1]:PORT, :PORT for all addresses, or unix:PATH",
    });
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length);
    if (path === "" || path.includes("\0")) throw fail("the path is missing");
    return { kind: "unix", path };
  }
  const match = /^(\[[^\][]+\]|[^:\][]*):([0-9]{1,10})$/.exec(text.replace(/^tcp:/, ""));
  const port = Number(match?.[2]);
  if (match === null) throw fail("expected HOST:PORT or unix:PATH");
  if (port > 65_535) throw fail("expected a port from 0 to 65535");
  const host = (match[1] ?? "").replaceAll(/[\][]/g, "");
  return { kind: "tcp", host: host === "" || host === "*" ? ALL_ADDRESSES : host, port };
}

/**
 * Serves HTTP. A Unix socket is made with mode 0600; a stale one is replaced, but only one
 * without a listener, and never a file of another kind. Its responses may pause for any time; those on
 * TCP for ten seconds.
 *
 * @throws {VsockboxError} CANNOT_CREATE.
 */
export function serveHttp(
  endpoint: Endpoint,
  answer: (request: Request) => Response | Promise<Response>,
): HttpServer {
  const common = {
    fetch: answer,
    maxRequestBodySize: MAX_BODY_BYTES,
    development: false,
    error: () => new Response("it failed\n", { status: 500 }),
  } as const;
  try {
    if (endpoint.kind === "unix") return serveUnix(endpoint, common);
    const { host: hostname, port } = endpoint;
    // Otherwise another process of this user could bind the same port and get half of the requests.
    const server = Bun.serve({ ...common, hostname, port, reusePort: false });
    const bound: Endpoint = { ...endpoint, port: server.port ?? endpoint.port };
    return { endpoint: bound, close: () => void server.stop(true) };
  } catch (thrown) {
    if (thrown instanceof VsockboxError) throw thrown;
    const { errno, message } = reasonOf(thrown);
    throw new VsockboxError({
      code: "CANNOT_CREATE",
      operation: "listen on",
      address: formatEndpoint(endpoint),
      message,
      errno,
      hint:
        endpoint.kind === "unix"
          ? "the directory must exist and be writable, and the path must be free"
          : `${formatHostPort(endpoint.host, endpoint.port)} must be this machine's and free; port 0 lets the kernel choose`,
      cause: thrown,
    });
  }
}

function serveUnix(
  endpoint: Endpoint & { kind: "unix" },
  common: Pick<Bun.Serve.Options<undefined>, "error" | "development"> & {
    fetch: (request: Request) => Response | Promise<Response>;
    maxRequestBodySize: number;
  },
): HttpServer {
  const { path } = endpoint;
  removeStaleSocket(path, encodeSockaddrUn(path));
  const mask = process.umask(0o177);
  let server: Bun.Server<undefined>;
  try {
    const options: Bun.Serve.Options<undefined> = { ...common, unix: path };
    // Otherwise the runtime ends a response that pauses, as packets of a VM do. Clients of this socket are
    // this user's. The runtime's types do not have this option beside `unix`.
    server = Bun.serve(Object.assign(options, { idleTimeout: 0 }));
  } finally {
    process.umask(mask);
  }
  const made = inodeOf(path);
  return {
    endpoint,
    close() {
      // The runtime removes whatever has the name: if that is another file by now, it stays open
      // until the process ends.
      if (inodeOf(path) === made) void server.stop(true);
      else server.unref();
    },
  };
}
