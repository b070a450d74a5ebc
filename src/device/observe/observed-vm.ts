/** One VM for status, metrics and captures: its device, its configuration, its capture. */
import type { VmConfig } from "../config/device-config.ts";
import { VsockboxError } from "../../errors.ts";
import { Capture, type CaptureFacts, type CaptureOptions } from "./capture.ts";
import type { Log } from "../../process/service/log.ts";
import type { VsockDevice } from "../device.ts";
import { countOf } from "../../text/count.ts";

/** A VM that is served. */
export class ObservedVm {
  readonly config: VmConfig;
  readonly device: VsockDevice;
  /** Time of the start, by performance.now(). */
  readonly since = performance.now();
  readonly log: Log;
  #capture: Capture | undefined;
  /** Packets that earlier captures have lost. */
  #lostBefore = 0;

  /** Does not start the configuration's capture; see {@link startCapture}. */
  constructor(config: VmConfig, device: VsockDevice, log: Log) {
    this.config = config;
    this.device = device;
    this.log = log;
  }

  /** The running capture's state; undefined if there is none. */
  get capture(): CaptureFacts | undefined {
    return this.#capture?.facts;
  }

  /** Packets that all captures have lost. */
  get packetsLost(): number {
    return this.#lostBefore + (this.#capture?.facts.packets_lost ?? 0);
  }

  /**
   * Starts a capture.
   *
   * @throws {VsockboxError} CANNOT_CREATE, and REFUSED if one is running.
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

  /** Ends the capture after its packets are written; returns undefined if there is none. */
  async endCapture(): Promise<CaptureFacts | undefined> {
    const capture = this.#capture;
    if (capture === undefined) return undefined;
    this.#forget(capture);
    const facts = await capture.end();
    const lost =
      facts.packets_lost === 0
        ? ""
        : `, and ${countOf(facts.packets_lost, "was lost", "were lost")}`;
    this.log.info(`captured ${countOf(facts.packets, "packet")} to ${facts.file}${lost}`);
    return facts;
  }
}
