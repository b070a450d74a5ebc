/** Who may connect: a list of CIDs, asked at accept with the peer's address from the kernel. */
import { VsockboxError } from "../errors.ts";
import { ANY, CID_HOST, CID_LOCAL, readCid } from "./address.ts";

/** An allow-list of CIDs; "any" lets everybody in. */
export type AllowedCids = ReadonlySet<number> | "any";

/** The host alone: what a service in a guest accepts unless told otherwise. */
export const HOST_ONLY: AllowedCids = new Set([CID_HOST]);

/**
 * Reads `--allow-cid 2,3,local` or `any`.
 *
 * @throws {VsockboxError} USAGE for an empty list or a word that is no CID.
 */
export function parseAllowedCids(list: string): AllowedCids {
  const cids = new Set<number>();
  for (const word of list.split(",")) {
    const cid = readCid(word.trim());
    if (cid === undefined) {
      throw new VsockboxError({
        code: "USAGE",
        operation: "parse --allow-cid",
        address: JSON.stringify(list),
        message: `${JSON.stringify(word)} is no CID`,
        hint: "give CIDs or names with commas between, as in --allow-cid 2,local, or --allow-cid any",
      });
    }
    if (cid === ANY) return "any";
    cids.add(cid);
  }
  return cids;
}

/** The list with CID 1 (this machine itself) added. */
export function withLocal(allowed: AllowedCids): AllowedCids {
  return allowed === "any" ? allowed : new Set([...allowed, CID_LOCAL]);
}

/** Whether a peer may come in. A peer without a CID came over a Unix socket: its file mode decided. */
export function isAllowed(allowed: AllowedCids, peerCid: number | undefined): boolean {
  return allowed === "any" || peerCid === undefined || allowed.has(peerCid);
}
