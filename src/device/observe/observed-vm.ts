/** One VM for status, metrics and captures: its device, its configuration, its capture. */
import type { VmConfig } from "../config/device-config.ts";
import { VsockboxError } from "../../errors.ts";
import { Capture, type CaptureFacts, type CaptureOptions } from "./capture.ts";
import { PacketStream } from "./packet-stream.ts";
import type { Log } from "../../process/service/log.ts";
import type { VsockDevice } from "../device.ts";
import { joinTaps } from "../vsock/packet-tap.ts";
import type { PacketSpool } from "./packet-spool.ts";
import { countOf } from "../../text/count.ts";

/** Streams that a VM can have at once: each costs its share of the device's time. */
const MAX_STREAMS = 8;

/** A VM that is served. */
export class ObservedVm {
  readonly config: VmConfig;
  readonly device: VsockDevice;
  /** Time of the start, by performance.now(). */
  readonly since = performance.now();
  readonly log: Log;
  #capture: Capture | undefined;
  /** With the names that their readers have chosen. */
  readonly #streams = new Map<PacketStream, string | undefined>();
  /** Packets that earlier captures and streams have lost. */
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

  /** Packets that all captures and streams have lost. */
  get packetsLost(): number {
    return this.#taps().reduce((sum, { lost }) => sum + lost, this.#lostBefore);
  }

  #taps(): PacketSpool[] {
    return [...(this.#capture === undefined ? [] : [this.#capture]), ...this.#streams.keys()];
  }

  /**
   * Starts a stream of packets, which its reader ends.
   *
   * @param payloadBytes bytes of each payload that are sent.
   * @param name by which its reader asks for {@link lostByStream}.
   * @throws {VsockboxError} REFUSED if there are too many.
   */
  openStream(payloadBytes: number, name?: string): PacketStream {
    if (this.#streams.size >= MAX_STREAMS) {
      throw new VsockboxError({
        code: "REFUSED",
        operation: "send packets of",
        address: this.config.socket,
        message: `${MAX_STREAMS} streams are open`,
      });
    }
    const stream = new PacketStream(payloadBytes, () => {
      if (!this.#streams.delete(stream)) return;
      this.#lostBefore += stream.lost;
      this.#tap();
    });
    this.#streams.set(stream, name);
    this.#tap();
    return stream;
  }

  /** Returns the number of packets that an open stream has lost; undefined if none has this name. */
  lostByStream(name: string): number | undefined {
    for (const [stream, other] of this.#streams) if (other === name) return stream.lost;
    return undefined;
  }

  #tap(): void {
    this.device.setTap(joinTaps(this.#taps()));
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
    this.#tap();
    this.log.info(`capturing to ${options.file}`);
    return capture.facts;
  }

  #forget(capture: Capture): void {
    if (this.#capture !== capture) return;
    this.#lostBefore += capture.facts.packets_lost;
    this.#capture = undefined;
    this.#tap();
  }

  /** Ends the capture after its packets are written; returns undefined if there is none. */
  async endCapture(): Promise<CaptureFacts | undefined> {
    const capture = this.#capture;
    if (capture === undefined) return undefined;
    this.#forget(capture);
    const facts = await capture.finish();
    const lost =
      facts.packets_lost === 0
        ? ""
        : `, and ${countOf(facts.packets_lost, "was lost", "were lost")}`;
    this.log.info(`captured ${countOf(facts.packets, "packet")} to ${facts.file}${lost}`);
    return facts;
  }
}
