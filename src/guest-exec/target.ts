/** The first operand of guest-exec: `CID:PORT` as in vsock_guest_exec, or an address of vsockbox. */
import { CID_HOST, parseAddress, readCid, type SocketAddress } from "../net/address.ts";
import { readU32 } from "../text/quantities.ts";
import { GUEST_EXEC_PORT } from "../protocols/guest-exec/command.ts";

/** The address of the host. */
export interface GuestExecTarget {
  address: SocketAddress;
  /** The values that were replaced by defaults: one sentence for each. */
  warnings: string[];
}

/** What only an address of ours begins with: the rest is a CID, a colon and a port. */
const OWN_FORM = /^(?:vsock|sibling|unix|hybrid):|^(?:unix|vsock-mux)\/|^vsock[/%]/;

/**
 * Parses `CID:PORT`, with 2 (the host) and 1024 in place of empty or invalid parts; without a colon
 * the whole word is the CID. As the README of vsock_guest_exec has it, not its C code.
 *
 * @param word undefined if there is none, for which no warning is made.
 * @throws {VsockboxError} USAGE for an address of ours that is malformed.
 */
export function parseTarget(word: string | undefined): GuestExecTarget {
  if (word === undefined) {
    return { address: { kind: "vsock", cid: CID_HOST, port: GUEST_EXEC_PORT }, warnings: [] };
  }
  if (OWN_FORM.test(word)) return ownForm(word);
  const colon = word.indexOf(":");
  const cidText = colon === -1 ? word : word.slice(0, colon);
  const portText = colon === -1 ? undefined : word.slice(colon + 1);
  const warnings: string[] = [];
  const orDefault = (what: string, text: string, value: number | undefined, byDefault: number) => {
    if (value !== undefined) return value;
    const why = text === "" ? `${what} is empty` : `${JSON.stringify(text)} is not a valid ${what}`;
    warnings.push(`${text === "" ? "the " : ""}${why}: using ${byDefault}`);
    return byDefault;
  };
  const cid = orDefault("CID", cidText, readCid(cidText), CID_HOST);
  const port =
    portText === undefined
      ? GUEST_EXEC_PORT
      : orDefault("port", portText, readU32(portText), GUEST_EXEC_PORT);
  return { address: { kind: "vsock", cid, port }, warnings };
}

function ownForm(word: string): GuestExecTarget {
  const address = parseAddress(word);
  // None of the own forms is a profile's name.
  if (address.kind === "profile") throw new Error(`${word} is a profile`);
  if (address.kind === "unix") return { address, warnings: [] };
  return { address: { ...address, port: address.port ?? GUEST_EXEC_PORT }, warnings: [] };
}
