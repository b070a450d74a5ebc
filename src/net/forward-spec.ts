/** Values of `-L` and `-R`, as in ssh(1): the address to listen on and the target of each connection. */
import { invalidValue } from "../errors.ts";
import type { Endpoint } from "../text/endpoint.ts";

/** A listener and the target of its connections. */
export interface ForwardSpec {
  /** On this side for `-L`, in the guest for `-R`. */
  listen: Endpoint;
  /** In the guest for `-L`, on this side for `-R`. */
  target: Endpoint;
}

const HINT =
  "write [BIND:]PORT:HOST:PORT, as in -L 8080:localhost:80; a path that begins with / in place of [BIND:]PORT or HOST:PORT is a Unix socket; IPv6 addresses in brackets; port 0 to listen on lets the kernel choose";

/** The default bind address: the loopback interface. */
const LOOPBACK = "127.0.0.1";

/**
 * Parses one forward.
 *
 * @throws {VsockboxError} USAGE, with the accepted forms.
 */
export function parseForward(text: string, option: "-L" | "-R"): ForwardSpec {
  const fail = (message: string): never => {
    throw invalidValue({ value: text, name: option, message, hint: HINT });
  };
  const parts = splitColons(text);
  const target = takeTarget(parts, fail);
  const port = parts.pop();
  const bind = parts.pop();
  if (port === undefined) return fail("expected [BIND:]PORT:HOST:PORT");
  if (parts.length > 0) return fail("it has too many colons");
  if (port.startsWith("/")) {
    if (bind !== undefined) return fail("a socket path has no bind address");
    return { listen: { kind: "unix", path: port }, target };
  }
  const host = bind === undefined ? LOOPBACK : bind === "" || bind === "*" ? "0.0.0.0" : bind;
  return { listen: { kind: "tcp", host, port: portOf(port, 0, fail) }, target };
}

function takeTarget(parts: string[], fail: (message: string) => never): Endpoint {
  const last = parts.pop() ?? "";
  if (last.startsWith("/")) return { kind: "unix", path: last };
  const host = parts.pop();
  if (host === undefined || parts.length === 0) return fail("expected [BIND:]PORT:HOST:PORT");
  return { kind: "tcp", host: host === "" ? LOOPBACK : host, port: portOf(last, 1, fail) };
}

/** Splits at colons outside brackets, and removes the brackets. */
function splitColons(text: string): string[] {
  const cut: string[] = [];
  let begin = 0;
  let depth = 0;
  for (let index = 0; index <= text.length; index++) {
    const character = text[index];
    if (character === "[") depth++;
    if (character === "]") depth--;
    if (index === text.length || (character === ":" && depth <= 0)) {
      cut.push(text.slice(begin, index).replace(/^\[(.*)\]$/, "$1"));
      begin = index + 1;
    }
  }
  return cut;
}

function portOf(text: string, min: number, fail: (message: string) => never): number {
  const port = /^[0-9]{1,5}$/.test(text) ? Number(text) : Number.NaN;
  return port >= min && port <= 65_535
    ? port
    : fail(`${JSON.stringify(text)} is not a port from ${min} to 65535`);
}
