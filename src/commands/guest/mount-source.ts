/** What `vsockbox mount` mounts: the address of the host and the name of an export. */
import { type Stats, statSync } from "node:fs";
import { dirname } from "node:path";
import { resolveAddress } from "../../config/profiles.ts";
import { VFS_PORT } from "../../agent/ports.ts";
import { CID_HOST, parseAddress, type SocketAddress } from "../../net/address.ts";
import { shellWord } from "../../text/shell-word.ts";

/** An export of a host. */
export interface MountSource {
  address: SocketAddress;
  /** Empty for the first one of the host. */
  name: string;
}

/** What stands at a path of this machine; undefined: nothing. */
export type StatPath = (path: string) => Pick<Stats, "isSocket" | "isDirectory"> | undefined;

const HOST: SocketAddress = { kind: "vsock", cid: CID_HOST, port: VFS_PORT };

/** A name: no address begins this way, but for a CID, which is a number or one of four words. */
const NAME = /^[A-Za-z_][\w.-]*$/;
const CID_WORD = /^(?:any|hypervisor|local|host)$/;

/** Addresses that are paths. All others have a slash before the name of an export alone. */
const PATH_FORM = /^(?:unix[:/]|hybrid:|vsock-mux\/)/;

/**
 * Reads `NAME`, `ADDRESS`, or `ADDRESS/NAME`; undefined is the host's first export.
 *
 * In an address that is a path, the part after the last slash is the name of an export if the path before
 * it is a socket, and the whole path is not.
 *
 * @throws {VsockboxError} USAGE, CONFIG.
 */
export function readMountSource(text: string | undefined, stat: StatPath = statPath): MountSource {
  if (text === undefined) return { address: HOST, name: "" };
  if (NAME.test(text) && !CID_WORD.test(text)) return { address: HOST, name: text };
  const { address, name } = splitSource(text);
  const isNamed = PATH_FORM.test(text)
    ? name !== "" && !isSocket(text, stat) && isSocket(address, stat)
    : name !== "" && isWithoutPath(address);
  return isNamed
    ? { address: resolveAddress(address, VFS_PORT), name }
    : { address: resolveAddress(text, VFS_PORT), name: "" };
}

/**
 * Returns the hint for a source whose socket does not exist, if its last part may be meant as the name of an
 * export; undefined for any other source.
 */
export function exportNameHint(
  text: string | undefined,
  stat: StatPath = statPath,
): string | undefined {
  if (text === undefined || !PATH_FORM.test(text)) return undefined;
  const { address, name } = splitSource(text);
  const path = socketPath(text);
  if (name === "" || path === undefined || stat(dirname(path))?.isDirectory() === true) {
    return undefined;
  }
  return `if ${name} is the name of an export, write ${shellWord(address)} and --export ${shellWord(name)}`;
}

/** Splits at the last slash; both parts are empty without one. */
function splitSource(text: string): { address: string; name: string } {
  const slash = text.lastIndexOf("/");
  return slash === -1
    ? { address: "", name: "" }
    : { address: text.slice(0, slash), name: text.slice(slash + 1) };
}

/** Whether the part before a slash can be an address on its own: `vsock/3` is one, `vsock` is not. */
function isWithoutPath(address: string): boolean {
  return address !== "vsock" && !address.replace(/^vsock\//, "").includes("/");
}

function isSocket(text: string, stat: StatPath): boolean {
  const path = socketPath(text);
  return path !== undefined && stat(path)?.isSocket() === true;
}

/** The path of an address; undefined for what is not one. */
function socketPath(text: string): string | undefined {
  try {
    const address = parseAddress(text);
    return "path" in address ? address.path : undefined;
  } catch {
    return undefined;
  }
}

function statPath(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}
