/** Addresses on a command line. */
import { resolveAddress } from "../../config/profiles.ts";
import { ANY, readSpecificCid, type SocketAddress } from "../../net/address.ts";
import { integer, type ValueKind } from "../../ui/value-kind.ts";

/** An address as the user wrote it, which may be the name of a profile, and what it stands for. */
export interface WrittenAddress {
  text: string;
  address: SocketAddress;
}

/**
 * Reads an address through the profiles.
 *
 * @throws {VsockboxError} USAGE, with all forms of addresses in its hint; CONFIG for a name that no profile
 * has.
 */
export function readAddress(text: string): WrittenAddress {
  return { text, address: resolveAddress(text) };
}

/** An address, whose port may be left out. */
export const ADDRESS: ValueKind<WrittenAddress> = {
  valueName: "ADDRESS",
  expected: "an address such as 3:5000, hybrid:/run/vm.vsock or unix:/run/x.sock",
  parse: readAddress,
  format: ({ text }) => text,
};

/** A CID that a packet or a socket can have: a number, or a name other than "any". */
export const CID: ValueKind<number> = {
  valueName: "CID",
  expected: `a CID from 0 to ${ANY - 1}, or host, local or hypervisor`,
  parse: readSpecificCid,
  format: String,
};

/** A port that a packet or a socket can have. */
export const PORT: ValueKind<number> = integer(0, ANY - 1, "PORT");
