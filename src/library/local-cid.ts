/** The CID of this machine. */
import { localCid } from "../ffi/vsock.ts";

/**
 * Returns the CID of this machine: 2 on a host, that of the VM in a guest, and VMADDR_CID_ANY if no
 * transport has assigned one.
 *
 * @throws {VsockboxError} UNAVAILABLE if there is no /dev/vsock, REFUSED if its mode does not allow opening
 * it; its `step` is `open_device` or `get_local_cid`.
 */
export function getLocalCid(): number {
  return localCid();
}
