/** The states of the VMs that hybrid-proxy processes serve. */
import {
  controlSockets,
  findControl,
  requestStatus,
  requestStatuses,
} from "../../device/observe/control-client.ts";
import type { VmStatus } from "../../device/observe/status.ts";

/** The states of VMs, and the devices whose VMs are not among them. */
export interface CollectedStatuses {
  vms: readonly VmStatus[];
  /** Control sockets of devices that do not answer, as stopped processes do not. */
  silent: readonly string[];
}

/**
 * Requests the states of VMs.
 *
 * @param paths a VM's socket each; none: all VMs of this user.
 * @throws {VsockboxError} as `findControl` and `requestStatus` for a named VM.
 */
export async function collectStatuses(paths: readonly string[]): Promise<CollectedStatuses> {
  if (paths.length > 0) {
    const vms = paths.map(async (path) => requestStatus(await findControl(path)));
    return { vms: await Promise.all(vms), silent: [] };
  }
  const asked = await requestStatuses(controlSockets());
  return {
    vms: asked.flatMap(({ status }) => (status === undefined ? [] : [status])),
    silent: asked.filter(({ isSilent }) => isSilent).map(({ control }) => control),
  };
}
