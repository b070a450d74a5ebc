/** Finding VMs that can be named: profiles, and the Unix sockets that VMMs make for vsock. */
import { readdirSync, lstatSync } from "node:fs";
import { join } from "node:path";
import { formatAddress } from "../net/address.ts";
import { isTrustedOwner } from "../net/socket-owner.ts";
import { loadProfiles } from "./profiles.ts";

/** A VM that may be there. */
export interface FoundVm {
  /** The address, as every command accepts it. */
  address: string;
  /** The source of the entry. */
  detail: string;
}

/** Limit of entries that are checked in one directory: /tmp may have any number. */
const MAX_ENTRIES = 5000;

/** VMs that are listed at most. */
const MAX_FOUND = 100;

/** Usual directories of such sockets; one level of directories below is searched too. */
function runDirectories(): string[] {
  const own = process.env["XDG_RUNTIME_DIR"];
  return [...new Set(["/run", "/tmp", ...(own === undefined || own === "" ? [] : [own])])];
}

/**
 * The configured VMs, then hybrid-vsock sockets in the usual run directories. Nothing is connected to.
 *
 * @throws {VsockboxError} CONFIG if the profiles cannot be read.
 */
export function findVms(directories: readonly string[] = runDirectories()): FoundVm[] {
  const profiles = [...loadProfiles()].map(([name, { address }]) => ({
    address: name,
    detail: formatAddress(address),
  }));
  const found = findVsockSockets(directories).map((path) => ({
    address: `hybrid:${path}`,
    detail: detailOf(path),
  }));
  return [...profiles, ...found].slice(0, MAX_FOUND);
}

/**
 * Returns the paths of hybrid-vsock sockets in the usual run directories, by their names. Nothing is
 * connected to.
 */
export function findVsockSockets(directories: readonly string[] = runDirectories()): string[] {
  const sockets = directories.flatMap((directory) => socketsIn(directory, 1));
  return [...new Set(sockets)].sort();
}

/** The file's owner is a guess at who listens there: who really does is known once connected. */
function detailOf(path: string): string {
  const uid = lstatSync(path, { throwIfNoEntry: false })?.uid;
  const isOwn = uid === undefined || isTrustedOwner(uid, process.geteuid?.() ?? 0, []);
  return isOwn ? "a VMM's socket" : `a socket of user ${uid}`;
}

/** As Firecracker, Cloud Hypervisor and hybrid-proxy call them; `NAME_PORT` is a listener of ours. */
function isVsockName(name: string): boolean {
  return /vsock/i.test(name) && !/_[0-9]+$/.test(name);
}

function socketsIn(directory: string, depth: number): string[] {
  let names: string[];
  try {
    names = readdirSync(directory).slice(0, MAX_ENTRIES);
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    const path = join(directory, name);
    const status = lstatSync(path, { throwIfNoEntry: false });
    if (status?.isSocket() === true) return isVsockName(name) || name === "v.sock" ? [path] : [];
    return status?.isDirectory() === true && depth > 0 ? socketsIn(path, depth - 1) : [];
  });
}
