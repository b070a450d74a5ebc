/** One VM as those see it who look from outside: its device, its configuration, its capture. */
import type { VmConfig } from "../config/device-config.ts";
import { VsockboxError } from "../../errors.ts";
import { Capture, type CaptureFacts, type CaptureOptions } from "./capture.ts";
import type { Log } from "../../process/service/log.ts";
import type { VsockDevice } from "../device.ts";

/** A VM that is served. */
export class ObservedVm {
  readonly config: VmConfig;
  readonly device: VsockDevice;
  /** Since when, by performance.now(). */
  readonly since = performance.now();
  readonly log: Log;
  #capture: Capture | undefined;
  /** Packets that captures before this one have lost. */
  #lostBefore = 0;

  /** Begins the capture of the configuration with {@link startCapture}, not by itself. */
  constructor(config: VmConfig, device: VsockDevice, log: Log) {
    this.config = config;
    this.device = device;
    this.log = log;
  }

  /** What is captured; undefined where nothing is. */
  get capture(): CaptureFacts | undefined {
    return this.#capture?.facts;
  }

  /** Packets that captures have lost, in all. */
  get packetsLost(): number {
    return this.#lostBefore + (this.#capture?.facts.packets_lost ?? 0);
  }

  /**
   * Begins a capture.
   *
   * @throws {VsockboxError} CANNOT_CREATE, and REFUSED where one runs already.
   */
  startCapture(options: CaptureOptions): CaptureFacts {
    if (this.#capture !== undefined) {
      throw new VsockboxError({
        code: "REFUSED",
        operation: "capture to",
        address: options.file,
        message: `a capture to ${this.#capture.file} is running`,
        hint: "end it first, with `capture PATH --off`",
      });
    }
    const capture = new Capture(options, (message) => {
      this.log.warn(message);
      this.#forget(capture);
    });
    this.#capture = capture;
    this.device.setTap(capture);
    this.log.info(`capturing to ${options.file}`);
    return capture.facts;
  }

  #forget(capture: Capture): void {
    if (this.#capture !== capture) return;
    this.#lostBefore += capture.facts.packets_lost;
    this.#capture = undefined;
    this.device.setTap(undefined);
  }

  /** Ends the capture, once all of it is written; undefined where there is none. */
  async endCapture(): Promise<CaptureFacts | undefined> {
    const capture = this.#capture;
    if (capture === undefined) return undefined;
    this.#forget(capture);
    const facts = await capture.end();
    const lost = facts.packets_lost === 0 ? "" : `, and ${facts.packets_lost} were lost`;
    this.log.info(`captured ${facts.packets} packets to ${facts.file}${lost}`);
    return facts;
  }
}
