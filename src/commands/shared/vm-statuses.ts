/** The states of the VMs that hybrid-proxy processes serve. */
import { controlSockets, findControl, requestStatus } from "../../device/observe/control-client.ts";
import type { VmStatus } from "../../device/observe/status.ts";
import { VsockboxError } from "../../errors.ts";

/**
 * Requests the states of VMs.
 *
 * @param paths a VM's socket each; none: all VMs of this user, of which those that do not answer are left out.
 * @throws {VsockboxError} as `findControl` and `requestStatus` for a named VM.
 */
export async function collectStatuses(paths: readonly string[]): Promise<VmStatus[]> {
  if (paths.length > 0) {
    return Promise.all(paths.map(async (path) => requestStatus(await findControl(path))));
  }
  const found = await Promise.all(
    controlSockets().map((control) =>
      requestStatus(control).catch((thrown: unknown) => {
        // One that ends at this moment, or belongs to another program, must not hide the others.
        if (thrown instanceof VsockboxError) return undefined;
        throw thrown;
      }),
    ),
  );
  return found.filter((status) => status !== undefined);
}
