/** A TCP port or a Unix socket, as one word. */

/** An end of a forward: TCP or a Unix socket. */
export type Endpoint = { kind: "tcp"; host: string; port: number } | { kind: "unix"; path: string };

/** An endpoint in words. */
export function formatEndpoint(endpoint: Endpoint): string {
  return endpoint.kind === "unix"
    ? `unix:${endpoint.path}`
    : formatHostPort(endpoint.host, endpoint.port);
}

/** A host and a port as one word, IPv6 in brackets. */
export function formatHostPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
