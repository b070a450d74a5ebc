/**
 * The packets of one VM as a pcap file without an end, for one reader. A reader that is slower than the
 * packets loses some of them, which are counted, and never delays the device.
 */
import { VsockboxError } from "../../errors.ts";
import { encodeFileHeader } from "../../protocols/pcap/file-format.ts";
import { snapBytesFor } from "../../protocols/pcap/vsock-record.ts";
import { PacketSpool, type RecordOutput } from "./packet-spool.ts";

/** A stream that a reader pulls from. */
class StreamOutput implements RecordOutput {
  readonly body: ReadableStream<Uint8Array>;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #wanted = Promise.withResolvers<void>();
  #isClosed = false;

  /** @param onCancel called when the reader has closed. */
  constructor(header: Uint8Array, onCancel: () => void) {
    this.body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
        controller.enqueue(header);
      },
      pull: () => this.#wanted.resolve(),
      cancel: onCancel,
    });
  }

  async append(records: Uint8Array): Promise<void> {
    await this.#wanted.promise;
    if (this.#isClosed) throw new VsockboxError({ code: "ABORTED", operation: "send packets" });
    this.#wanted = Promise.withResolvers();
    this.#controller?.enqueue(records.slice());
  }

  close(): void {
    this.#isClosed = true;
    this.#wanted.resolve();
  }
}

/** A stream, which runs until its reader or {@link close} ends it. */
export class PacketStream extends PacketSpool {
  readonly #output: StreamOutput;
  readonly #onClose: () => void;

  /** @param onClose called at its end. */
  constructor(payloadBytes: number, onClose: () => void) {
    const header = encodeFileHeader(snapBytesFor(payloadBytes));
    const output = new StreamOutput(header, () => this.close());
    super(output, payloadBytes, () => this.close());
    this.#output = output;
    this.#onClose = onClose;
  }

  /** The file, to be read once. */
  get body(): ReadableStream<Uint8Array> {
    return this.#output.body;
  }

  /** Ends it: packets are neither kept nor sent from now on. A second call does nothing. */
  close(): void {
    this.#output.close();
    this.#onClose();
  }
}
