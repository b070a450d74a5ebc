/** `dial`, `listen` and `listenCid`, as in the Go vsock package, for every form of address. */
import { profileOf, resolveAddress } from "../config/profiles.ts";
import { parseSocketOwners } from "../config/socket-owners.ts";
import { boundTo } from "../io/peer.ts";
import { ANY, type SocketAddress } from "../net/address.ts";
import { dial } from "../net/dial.ts";
import { Addr } from "./addr.ts";
import { Conn } from "./conn.ts";
import { assertDurations } from "./durations.ts";
import { ConnListener, type ConnListenOptions } from "./listener.ts";

/** An address: the text of any form, or its parts. */
export type AddressLike = string | SocketAddress | Addr;

/** Options of `dial`. */
export interface ConnDialOptions {
  /** For the connection and the handshake of a hybrid socket together, in milliseconds (default 10,000). */
  timeoutMs?: number | undefined;
  /** Fires to give up connecting; an open connection is not affected. */
  signal?: AbortSignal | undefined;
  /** SOCK_SEQPACKET instead of a stream: each write is one packet, and each read returns one. */
  seqpacket?: boolean | undefined;
  /**
   * Users besides this process's own and root, by uid, who may listen on a Unix socket that is connected
   * to, or `any`; without it those of the profile's `socket_owner`.
   */
  socketOwners?: "any" | readonly number[] | undefined;
}

/**
 * Connects to a port of a CID, or to an address in any form.
 *
 * @throws {VsockboxError} UNAVAILABLE (no listener, no such CID or socket), TIMEOUT, REFUSED (the socket of
 * another user), USAGE (malformed address, no port), CONFIG (no such profile), BAD_DATA (an answer that
 * is not a hybrid handshake), ABORTED; its `step` is `create_socket` or `connect`.
 */
export function dialConn(cid: number, port: number, options?: ConnDialOptions): Promise<Conn>;
export function dialConn(address: AddressLike, options?: ConnDialOptions): Promise<Conn>;
export async function dialConn(
  target: AddressLike | number,
  second?: number | ConnDialOptions,
  third?: ConnDialOptions,
): Promise<Conn> {
  const options = (typeof second === "object" ? second : third) ?? {};
  assertDurations(options);
  const address =
    typeof target === "number"
      ? vsockAddress(target, typeof second === "number" ? second : undefined)
      : partsOf(target);
  const socketOwners = options.socketOwners ?? profileOwners(target);
  const stream = await dial(address, { ...options, socketOwners });
  const bound = boundTo(stream.fd);
  // The client's end of a Unix socket has no name.
  const local: SocketAddress = bound.kind === "vsock" ? bound : { kind: "unix", path: "" };
  return new Conn(stream, { local: new Addr(local), remote: new Addr(address) });
}

/**
 * Listens on a port of all CIDs of this machine, or on an address in any form. `vsock::any` and
 * VMADDR_PORT_ANY let the kernel choose the port. A Unix socket has mode 0600.
 *
 * @throws {VsockboxError} CANNOT_CREATE (address in use), REFUSED (privileged port), UNAVAILABLE (no vsock
 * in this kernel), USAGE, CONFIG; its `step` is `create_socket`, `bind` or `listen`.
 */
export function listenConn(
  address: number | AddressLike,
  options: ConnListenOptions = {},
): ConnListener {
  const bound = typeof address === "number" ? vsockAddress(ANY, address) : partsOf(address);
  return new ConnListener(bound, options);
}

/**
 * Listens on a port of one CID of this machine.
 *
 * @throws {VsockboxError} as `listen`.
 */
export function listenCid(
  cid: number,
  port: number,
  options: ConnListenOptions = {},
): ConnListener {
  return new ConnListener(vsockAddress(cid, port), options);
}

function vsockAddress(cid: number, port: number | undefined): SocketAddress {
  assertU32("CID", cid);
  if (port !== undefined) assertU32("port", port);
  return { kind: "vsock", cid, port };
}

function assertU32(what: string, value: number): void {
  if (Number.isInteger(value) && value >= 0 && value <= ANY) return;
  throw new RangeError(`${value} is not a ${what}: 0 to ${ANY}`);
}

/** Returns the parts of an address in any form. */
export function partsOf(address: AddressLike): SocketAddress {
  if (typeof address === "string") return resolveAddress(address);
  return address instanceof Addr ? address.parts : address;
}

/** Returns the users who may listen on the Unix socket of a profile; undefined: it names none. */
export function profileOwners(
  address: AddressLike | number,
): "any" | readonly number[] | undefined {
  const owner = typeof address === "string" ? profileOf(address)?.socketOwner : undefined;
  return owner === undefined ? undefined : parseSocketOwners(owner, "socket_owner");
}
