/** A capture of one VM's packets to a pcap file. */
import { reasonOf } from "../../errors.ts";
import { CaptureFile } from "../../monitor/capture-file.ts";
import { DEFAULT_RECORD_PAYLOAD_BYTES, snapBytesFor } from "../../protocols/pcap/vsock-record.ts";
import { PacketSpool } from "./packet-spool.ts";

/** Options of {@link Capture}. */
export interface CaptureOptions {
  file: string;
  /** Bytes of each payload that are stored; {@link DEFAULT_RECORD_PAYLOAD_BYTES} by default. */
  payloadBytes?: number | undefined;
  /** Replaces an existing file. */
  force?: boolean | undefined;
}

/** The state of a capture. */
export interface CaptureFacts {
  file: string;
  payload_bytes: number;
  packets: number;
  /** In the file, or about to be written. */
  bytes: number;
  /** Packets that arrived faster than they could be written. */
  packets_lost: number;
}

/** A capture, which runs until {@link finish} or a failed write. */
export class Capture extends PacketSpool {
  readonly #output: CaptureFile;

  /**
   * Creates the file, with mode 0600.
   *
   * @param onFailure called with a message when a failed write has ended the capture.
   * @throws {VsockboxError} CANNOT_CREATE: the file exists, or cannot be created.
   */
  constructor(options: CaptureOptions, onFailure: (message: string) => void) {
    const { file, payloadBytes = DEFAULT_RECORD_PAYLOAD_BYTES, force = false } = options;
    const output = new CaptureFile(
      file,
      { snapBytes: snapBytesFor(payloadBytes), unit: "microseconds" },
      force,
    );
    super(output, payloadBytes, (thrown) => {
      const { errno, message } = reasonOf(thrown);
      const reason =
        errno === undefined || message.includes(errno) ? message : `${message} (${errno})`;
      onFailure(`the capture to ${file} has ended: ${reason}`);
    });
    this.#output = output;
  }

  get file(): string {
    return this.#output.path;
  }

  /** The capture's state, for status and metrics. */
  get facts(): CaptureFacts {
    return {
      file: this.file,
      payload_bytes: this.payloadBytes,
      packets: this.packets,
      bytes: this.#output.writtenBytes + this.pendingBytes,
      packets_lost: this.lost,
    };
  }

  /** Writes the remaining packets, and closes the file. */
  async finish(): Promise<CaptureFacts> {
    await this.end();
    this.#output.close();
    return this.facts;
  }
}
