/** The CID of this machine, from the ioctl on /dev/vsock. */
import { toVsockboxError, type VsockboxError } from "../../errors.ts";
import { localCid } from "../../ffi/vsock.ts";

/** The CID, or why it cannot be read. */
export type LocalCid = { cid: number } | { error: VsockboxError };

/** Reads the local CID. Does not open /dev/vsock if AF_VSOCK is switched off. */
export function readLocalCid(): LocalCid {
  try {
    return { cid: localCid() };
  } catch (thrown) {
    return { error: toVsockboxError(thrown) };
  }
}
