/** A device in this process as its observers have it. */
import type { VmConfig } from "../../src/device/config/vm-config.ts";
import { VM_DEFAULTS } from "../../src/device/config/vm-config.ts";
import { ObservedVm } from "../../src/device/observe/observed-vm.ts";
import { controlPathOf } from "../../src/protocols/hybrid/control.ts";
import { GUEST_CID, LocalDevice } from "./local-device.ts";

/** A {@link LocalDevice} with its VM, whose log is `log`. */
export class ObservedDevice implements Disposable {
  readonly local = new LocalDevice();
  readonly log: string[] = [];
  readonly config: VmConfig;
  readonly vm: ObservedVm;
  /** The path of its control socket. */
  readonly control = controlPathOf(this.local.socket);

  constructor(changes: Partial<VmConfig> = {}) {
    this.config = {
      guestCid: GUEST_CID,
      socket: this.local.socket,
      backend: { kind: "unix", udsPath: this.local.udsPath },
      ...{ queueSize: 1024, groups: [], maxConnections: VM_DEFAULTS.maxConnections },
      ...changes,
    };
    const write = (message: string) => void this.log.push(message);
    const log = { debug: write, info: write, warn: write };
    this.vm = new ObservedVm(this.config, this.local.device, log);
  }

  /** The path of a file in the device's scratch directory. */
  file(name: string): string {
    return this.local.scratch.file(name);
  }

  [Symbol.dispose](): void {
    this.local[Symbol.dispose]();
  }
}
