/** Observation of the VMs of a process: metrics, control sockets, captures, status by SIGUSR1. */
import type { VmConfig } from "../config/device-config.ts";
import { type Endpoint, formatEndpoint } from "../../text/endpoint.ts";
import type { HttpServer } from "../../net/http.ts";
import { onUserSignal } from "../../process/signals.ts";
import { serveControl } from "./control-server.ts";
import { type Log, openLog } from "../../process/service/log.ts";
import type { VsockDevice } from "../device.ts";
import type { EventLoop } from "../../io/event-loop.ts";
import { METRICS_PATH } from "../../net/metrics-server.ts";
import { serveVmMetrics } from "./metrics-server.ts";
import { ObservedVm } from "./observed-vm.ts";
import { epollTargets, findRuntimeEpoll } from "../../io/runtime-epoll.ts";
import { statusOf } from "./status.ts";
import { statusLines } from "./status-text.ts";

/** Options of {@link Observers}. */
export interface ObserverOptions {
  /** Address of the metrics server; undefined: none. */
  metrics?: Endpoint | undefined;
  /** Lets captures of the configuration replace existing files. */
  force?: boolean | undefined;
}

/** Servers and captures that observe the devices; no device depends on them. */
export class Observers {
  readonly #options: ObserverOptions;
  readonly #vms: ObservedVm[] = [];
  readonly #servers: HttpServer[] = [];
  #signal: Disposable | undefined;

  constructor(options: ObserverOptions) {
    this.#options = options;
  }

  /** Adds a device, before {@link begin}. */
  add(config: VmConfig, device: VsockDevice, log: Log): void {
    this.#vms.push(new ObservedVm(config, device, log));
  }

  /**
   * Opens the servers and files, after all devices are open and before the event loop runs.
   *
   * @throws {VsockboxError} CANNOT_CREATE; {@link end} cleans up.
   */
  begin(loop: EventLoop): void {
    const { metrics, force } = this.#options;
    const log = openLog();
    const before = epollTargets();
    for (const vm of this.#vms) {
      const control = serveControl(vm);
      if (control !== undefined) this.#servers.push(control);
      const { capture } = vm.config;
      if (capture !== undefined) vm.startCapture({ ...capture, force });
    }
    if (metrics !== undefined) {
      const server = serveVmMetrics(metrics, this.#vms);
      this.#servers.push(server);
      log.info(`metrics are at ${METRICS_PATH} on ${formatEndpoint(server.endpoint)}`);
    }
    const runtime = findRuntimeEpoll(before);
    if (runtime !== undefined) loop.watchRuntime(runtime);
    this.#signal = onUserSignal(() => {
      for (const vm of this.#vms) for (const line of statusLines(statusOf(vm))) log.info(line);
    });
  }

  /** Ends the servers and the captures. */
  async end(): Promise<void> {
    this.#signal?.[Symbol.dispose]();
    for (const server of this.#servers) server.close();
    await Promise.all(this.#vms.map((vm) => vm.endCapture()));
  }
}
