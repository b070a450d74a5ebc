/** The vhost-user vsock devices of one process. */
import type { VmConfig } from "../config/hybrid.ts";
import { VsockboxError } from "../errors.ts";
import { onEndingSignal } from "../process/signals.ts";
import { say } from "../ui/report.ts";
import { VsockDevice } from "./device.ts";
import { EventLoop } from "./event-loop.ts";

/**
 * Serves all devices until a signal ends the process.
 *
 * @returns the exit status.
 * @throws {VsockboxError} CANNOT_CREATE, and UNAVAILABLE for a backend that is not there yet.
 */
export async function runDevice(configs: readonly VmConfig[]): Promise<number> {
  const loop = new EventLoop();
  const devices: VsockDevice[] = [];
  using _signals = onEndingSignal(() => loop.stop());
  try {
    for (const config of configs) {
      const name = `VM ${config.guestCid}`;
      const device = new VsockDevice({ ...config, udsPath: udsPathOf(config) }, loop, {
        info: (message) => say(`vsockbox: ${name}: ${message}`),
        warn: (message) => say(`vsockbox: ${name}: ${message}`),
      });
      devices.push(device);
      say(`vsockbox: ${name}: waiting for its VMM on ${config.socket}`);
    }
    await loop.run();
    return 0;
  } finally {
    for (const device of devices) device.close();
  }
}

function udsPathOf({ backend }: VmConfig): string {
  if (backend.kind === "unix") return backend.udsPath;
  throw new VsockboxError({
    code: "UNAVAILABLE",
    operation: "hybrid-proxy",
    message: "--forward-cid is not there yet",
    hint: "--uds-path with `vsockbox hybrid-proxy bridge` in front of AF_VSOCK does the same",
  });
}
