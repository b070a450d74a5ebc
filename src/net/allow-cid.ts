/** The allow-list of CIDs, checked at accept(2) with the peer's address from the kernel. */
import { ANY, CID_HOST, CID_LOCAL, readCid } from "./address.ts";

/** An allow-list of CIDs; "any" allows all peers. */
export type AllowedCids = ReadonlySet<number> | "any";

/** The host alone, the default of a service in a guest. */
export const HOST_ONLY: AllowedCids = new Set([CID_HOST]);

/** Reads `2,3,local` or `any`; undefined for an empty list or a word that is not a CID. */
export function readAllowedCids(list: string): AllowedCids | undefined {
  const cids = new Set<number>();
  for (const word of list.split(",")) {
    const cid = readCid(word.trim());
    if (cid === undefined) return undefined;
    if (cid === ANY) return "any";
    cids.add(cid);
  }
  return cids;
}

/** Returns the list with CID 1 (loopback) added. */
export function withLocal(allowed: AllowedCids): AllowedCids {
  return allowed === "any" ? allowed : new Set([...allowed, CID_LOCAL]);
}

/** Whether a peer is allowed. One without a CID came over a Unix socket, whose file mode has decided. */
export function isAllowed(allowed: AllowedCids, peerCid: number | undefined): boolean {
  return allowed === "any" || peerCid === undefined || allowed.has(peerCid);
}
