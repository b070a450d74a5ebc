/** Addresses of connections and listeners. */
import { resolveAddress } from "../config/profiles.ts";
import { formatAddress, type SocketAddress } from "../net/address.ts";

/** The address of one end of a connection, or of a listener. */
export class Addr {
  /** The kind of socket; `hybrid` is a Unix socket of a VMM that leads to ports of its guest. */
  readonly network: "vsock" | "hybrid" | "unix";
  /** The CID of an AF_VSOCK address. */
  readonly cid: number | undefined;
  /** The port of an AF_VSOCK or hybrid address. */
  readonly port: number | undefined;
  /** The path of a Unix socket; empty for a socket without a name, as clients have it. */
  readonly path: string | undefined;
  readonly #address: SocketAddress;

  /** Makes an address of its parts. */
  constructor(address: SocketAddress) {
    this.#address = { ...address };
    this.network = address.kind;
    this.cid = address.kind === "vsock" ? address.cid : undefined;
    this.port = address.kind === "unix" ? undefined : address.port;
    this.path = address.kind === "vsock" ? undefined : address.path;
  }

  /**
   * Reads an address in any form that the commands accept; the name of a profile is looked up.
   *
   * @param defaultPort the port if the text has none.
   * @throws {VsockboxError} USAGE (malformed), CONFIG (no such profile).
   */
  static parse(text: string, defaultPort?: number): Addr {
    return new Addr(resolveAddress(text, defaultPort));
  }

  /** Returns its parts. */
  get parts(): SocketAddress {
    return { ...this.#address };
  }

  /** Returns the address in the form that commands accept, such as `vsock:3:5000`. */
  toString(): string {
    const unnamed = this.network === "unix" && this.path === "";
    return unnamed ? "unix" : formatAddress(this.#address);
  }
}
