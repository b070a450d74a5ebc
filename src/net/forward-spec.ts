/** What `-L` takes, as ssh has it: where to listen here, where to connect there. */
import { VsockboxError } from "../errors.ts";

/** A local listener and the TCP address that each of its connections leads to. */
export interface ForwardSpec {
  local: { kind: "tcp"; host: string; port: number } | { kind: "unix"; path: string };
  remote: { host: string; port: number };
}

const HINT =
  "write [BIND:]PORT:HOST:PORT or /path/to.sock:HOST:PORT, as in -L 8080:localhost:80; IPv6 addresses in brackets; port 0 here lets the kernel choose";

/** Where connections come from unless a bind address is given: this machine alone. */
const LOOPBACK = "127.0.0.1";

/**
 * Reads one forward.
 *
 * @throws {VsockboxError} USAGE with the right forms.
 */
export function parseForward(text: string): ForwardSpec {
  const fail = (message: string): never => {
    throw new VsockboxError({
      code: "USAGE",
      operation: "read -L",
      address: JSON.stringify(text),
      message,
      hint: HINT,
    });
  };
  const parts = splitColons(text);
  const remotePort = parts.pop();
  const remoteHost = parts.pop();
  const localPort = parts.pop();
  const bind = parts.pop();
  if (remotePort === undefined || remoteHost === undefined || localPort === undefined) {
    return fail("something is missing");
  }
  if (parts.length > 0) return fail("it has too many colons");
  const remote = { host: remoteHost, port: portOf(remotePort, 1, fail) };
  if (localPort.startsWith("/")) {
    return bind === undefined
      ? { local: { kind: "unix", path: localPort }, remote }
      : fail("a socket path has no bind address");
  }
  const host = bind === undefined ? LOOPBACK : bind === "" || bind === "*" ? "0.0.0.0" : bind;
  return { local: { kind: "tcp", host, port: portOf(localPort, 0, fail) }, remote };
}

/** Splits at colons outside brackets, and takes the brackets away. */
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
    : fail(`${JSON.stringify(text)} is no port from ${min} to 65535`);
}

/** A host and a port as one word, IPv6 in brackets. */
export function formatHostPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
