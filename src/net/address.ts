/**
 * The address forms that every command accepts.
 *
 * | form | meaning |
 * | --- | --- |
 * | `3`, `3:5000`, `vsock:3:5000`, `vsock::5000`, `vsock/3`, `vsock%3` | AF_VSOCK |
 * | `sibling:4`, `sibling:4:5000` | AF_VSOCK of another VM, by way of the host |
 * | `hybrid:/run/vm4.vsock[:5000]`, `vsock-mux/run/vm4.vsock` | Firecracker-style Unix socket |
 * | `unix:/run/x.sock`, `unix/run/x.sock` | plain Unix stream socket |
 * | `unix:@name` | the same with a name in the abstract namespace |
 * | `NAME[:5000]` | a profile of the configuration |
 */
import { resolve } from "node:path";
import { VsockboxError } from "../errors.ts";
import { readU32 } from "../text/quantities.ts";

/** VMADDR_CID_ANY and VMADDR_PORT_ANY, linux/vm_sockets.h. */
export const ANY = 0xffff_ffff;
/** VMADDR_CID_HYPERVISOR. */
export const CID_HYPERVISOR = 0;
/** VMADDR_CID_LOCAL: loopback, since Linux 5.6. */
export const CID_LOCAL = 1;
/** VMADDR_CID_HOST. */
export const CID_HOST = 2;

/** An AF_VSOCK address; an undefined port stands for the command's default. */
export interface VsockAddress {
  kind: "vsock";
  cid: number;
  port: number | undefined;
  /**
   * Set if the host forwards it to another VM: VMADDR_FLAG_TO_HOST. Without it a guest that runs VMs
   * itself would search the CID among these.
   */
  toHost?: true;
}

/** A hybrid-vsock Unix socket: dialing sends `CONNECT port`; listening binds `path_port`. */
export interface HybridAddress {
  kind: "hybrid";
  path: string;
  port: number | undefined;
}

/** A plain Unix stream socket; a path that begins with `@` is a name in the abstract namespace. */
export interface UnixAddress {
  kind: "unix";
  path: string;
}

/** The name of a profile. */
export interface ProfileAddress {
  kind: "profile";
  name: string;
  port: number | undefined;
}

/** The result of {@link parseAddress}. */
export type Address = VsockAddress | HybridAddress | UnixAddress | ProfileAddress;

/** An address that a socket can be opened for. */
export type SocketAddress = Exclude<Address, ProfileAddress>;

const CID_NAMES: Readonly<Record<string, number>> = {
  any: ANY,
  hypervisor: CID_HYPERVISOR,
  local: CID_LOCAL,
  host: CID_HOST,
  "-1": ANY,
};

/** The right forms, shown with every address that is not one. */
export const ADDRESS_HINT =
  "addresses: 3, 3:5000, vsock:3:5000, vsock::5000 (any CID, to listen), vsock/3, sibling:4:5000, " +
  "hybrid:/run/vm.vsock[:5000], vsock-mux/run/vm.vsock, unix:/run/x.sock, or a profile's NAME; " +
  "a CID may also be any, hypervisor, local or host";

/**
 * Parses an address in any of the forms above.
 *
 * @throws {VsockboxError} USAGE, with the right forms in the hint.
 */
export function parseAddress(text: string): Address {
  const fail = (message: string, hint: string = ADDRESS_HINT): never => {
    throw new VsockboxError({
      code: "USAGE",
      operation: "parse address",
      address: JSON.stringify(text),
      message,
      hint,
    });
  };
  if (text === "") fail("it is empty");
  if (text.includes("\0")) fail("it has a NUL byte");

  for (const word of ["vsock-mux", "unix"] as const) {
    if (!text.startsWith(`${word}/`)) continue;
    const path = text.slice(word.length);
    return word === "unix" ? { kind: "unix", path } : splitHybrid(path, fail);
  }
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length);
    return path === "" ? fail("the path is missing") : { kind: "unix", path };
  }
  if (text.startsWith("hybrid:")) return splitHybrid(text.slice("hybrid:".length), fail);
  if (/^vsock[/%]/.test(text)) return parseVsock(text.slice("vsock/".length), fail);
  if (text.startsWith("sibling:")) {
    return { ...parseVsock(text.slice("sibling:".length), fail), toHost: true };
  }
  if (text.startsWith("vsock:")) return parseVsock(text.slice("vsock:".length), fail);
  return parseBare(text, fail);
}

type Fail = (message: string, hint?: string) => never;

function parseVsock(rest: string, fail: Fail): VsockAddress {
  const parts = rest.split(":");
  if (parts.length > 2) fail("it has too many colons");
  const [cid = "", port] = parts;
  if (cid === "" && port === undefined) fail("the CID is missing");
  return {
    kind: "vsock",
    cid: cid === "" ? ANY : (readCid(cid) ?? fail(notACid(cid))),
    port: port === undefined ? undefined : readPort(port, fail),
  };
}

function parseBare(text: string, fail: Fail): Address {
  const parts = text.split(":");
  const [name = "", port] = parts;
  if (name.includes("/")) {
    const path = resolve(text);
    fail("it is a path", `write unix:${path}, or hybrid:${path} for the socket of a VMM`);
  }
  if (parts.length > 2) fail("it has too many colons");
  if (name === "") fail("the CID is missing; to listen on any CID write vsock::PORT");
  const cid = readCid(name);
  if (cid !== undefined) {
    return { kind: "vsock", cid, port: port === undefined ? undefined : readPort(port, fail) };
  }
  if (/^[-+]?\d/.test(name)) fail(notACid(name));
  if (!isProfileName(name)) fail("it is not a known form of address");
  return { kind: "profile", name, port: port === undefined ? undefined : readPort(port, fail) };
}

/** The part after the last colon is the port if it has digits only. */
function splitHybrid(rest: string, fail: Fail): HybridAddress {
  const colon = rest.lastIndexOf(":");
  const tail = rest.slice(colon + 1);
  const hasPort = colon !== -1 && (/^[0-9]+$/.test(tail) || tail === "");
  const path = hasPort ? rest.slice(0, colon) : rest;
  if (path === "") fail("the path is missing");
  return { kind: "hybrid", path, port: hasPort ? readPort(tail, fail) : undefined };
}

/** Words that begin an address. */
const RESERVED: ReadonlySet<string> = new Set(["vsock", "sibling", "hybrid", "unix"]);

/** Whether a word is the beginning of an address, such as `unix`, and thus neither a CID nor a profile. */
export function isAddressWord(word: string): boolean {
  return RESERVED.has(word);
}

/** Whether a profile may have this name: letters, digits, `_`, `-` and `.`, first a letter or `_`. */
export function isProfileName(name: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_.-]*$/.test(name) && !RESERVED.has(name);
}

/** Parses a CID, a u32 or a name; undefined for anything else. */
export function readCid(text: string): number | undefined {
  const named = Object.hasOwn(CID_NAMES, text.toLowerCase())
    ? CID_NAMES[text.toLowerCase()]
    : undefined;
  return named ?? readU32(text);
}

/** Parses a CID of one socket, as {@link readCid}, but without "any" and its number. */
export function readSpecificCid(text: string): number | undefined {
  const cid = readCid(text);
  return cid === ANY ? undefined : cid;
}

function notACid(text: string): string {
  return `${JSON.stringify(text)} is not a CID (0 to ${ANY})`;
}

function readPort(text: string, fail: Fail): number {
  if (text === "any" || text === "-1") return ANY;
  return readU32(text) ?? fail(`${JSON.stringify(text)} is not a port (0 to 4294967295)`);
}

/** Returns the address in its full form, which `parseAddress` parses to the same value. */
export function formatAddress(address: Address): string {
  switch (address.kind) {
    case "vsock":
      return `${address.toHost ? "sibling" : "vsock"}:${address.cid === ANY ? "any" : address.cid}${formatPort(address.port)}`;
    case "hybrid":
      return `hybrid:${address.path}${formatPort(address.port)}`;
    case "unix":
      return `unix:${address.path}`;
    case "profile":
      return `${address.name}${formatPort(address.port)}`;
  }
}

function formatPort(port: number | undefined): string {
  return port === undefined ? "" : `:${port}`;
}

/** Returns the address with `port` if it has none. */
export function withDefaultPort<T extends Address>(address: T, port: number): T {
  return address.kind === "unix" || address.port !== undefined ? address : { ...address, port };
}
