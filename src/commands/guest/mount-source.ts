/** What `vsockbox mount` mounts: the address of the host and the name of an export. */
import { resolveAddress } from "../../config/profiles.ts";
import { VFS_PORT } from "../../agent/ports.ts";
import { CID_HOST, type SocketAddress } from "../../net/address.ts";

/** An export of a host. */
export interface MountSource {
  address: SocketAddress;
  /** Empty for the first one of the host. */
  name: string;
}

const HOST: SocketAddress = { kind: "vsock", cid: CID_HOST, port: VFS_PORT };

/** A name: no address begins this way, but for a CID, which is a number or one of four words. */
const NAME = /^[A-Za-z_][\w.-]*$/;
const CID_WORD = /^(?:any|hypervisor|local|host)$/;

/**
 * Reads `NAME`, `ADDRESS`, or `ADDRESS/NAME` with an address of vsock; undefined is the host's first export.
 *
 * @throws {VsockboxError} USAGE.
 */
export function readMountSource(text: string | undefined): MountSource {
  if (text === undefined) return { address: HOST, name: "" };
  if (NAME.test(text) && !CID_WORD.test(text)) return { address: HOST, name: text };
  const [, address = text, name = ""] = /^((?:vsock:)?\w*(?::\d+)?)\/([^/]+)$/.exec(text) ?? [];
  // `vsock/3` and `unix/path` are forms of addresses.
  const isAddress = /^(?:vsock|unix|vsock-mux)\//.test(text);
  return isAddress
    ? { address: resolveAddress(text, VFS_PORT), name: "" }
    : { address: resolveAddress(address, VFS_PORT), name };
}
