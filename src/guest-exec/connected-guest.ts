/** The host's side of one connection of a guest-exec guest, ours or the C program. */
import { VsockboxError } from "../errors.ts";
import type { SocketStream } from "../net/stream.ts";
import { encodeCommandFrame } from "../protocols/guest-exec/frame.ts";
import { type Report, ReportReader } from "../protocols/guest-exec/report.ts";

/** How a host talks to its guests. */
export interface GuestProtocol {
  /** Commands with their length in front; otherwise one command without. */
  persistent: boolean;
  /** Whether the guests send a report behind each command. */
  report: boolean;
}

/** A guest that is connected. */
export class ConnectedGuest {
  /** Its CID, or a number where it has none. */
  readonly name: string;
  readonly stream: SocketStream;
  /**
   * Resolves when the guest has closed and all that it said has been read.
   *
   * Rejects with a VsockboxError: BAD_DATA for what is no report and for reports that are missing,
   * TRANSPORT where the connection broke.
   */
  readonly ended: Promise<void>;
  readonly #protocol: GuestProtocol;
  readonly #onReport: (report: Report, index: number) => Promise<void>;
  #sent = 0;
  #reports = 0;

  constructor(
    name: string,
    stream: SocketStream,
    protocol: GuestProtocol,
    onReport: (report: Report, index: number) => Promise<void>,
  ) {
    this.name = name;
    this.stream = stream;
    this.#protocol = protocol;
    this.#onReport = onReport;
    this.ended = this.#receive();
    this.ended.catch(() => undefined);
  }

  /** How many commands were sent. */
  get sent(): number {
    return this.#sent;
  }

  /**
   * Sends a command, in a single write: the C program takes what its one recv(2) gives. Disposable
   * guests get the end of input right behind it.
   *
   * @throws {VsockboxError} TRANSPORT where the guest is gone.
   */
  async send(command: Uint8Array): Promise<void> {
    this.#sent++;
    await this.stream.write(this.#protocol.persistent ? encodeCommandFrame(command) : command);
    if (!this.#protocol.persistent) await this.stream.end();
  }

  /** Says that no more commands will come. */
  async finish(): Promise<void> {
    await this.stream.end();
  }

  async #receive(): Promise<void> {
    const reader = this.#protocol.report ? new ReportReader() : undefined;
    try {
      for await (const chunk of this.stream) {
        if (reader === undefined) continue;
        for (const report of reader.push(chunk)) {
          this.#reports++;
          if (this.#reports > this.#sent)
            throw this.#bad("a report of a command that was not sent");
          await this.#onReport(report, this.#reports);
        }
      }
      reader?.finish();
      if (reader !== undefined && this.#reports < this.#sent) {
        throw this.#bad(
          `it closed, and ${this.#sent - this.#reports} of ${this.#sent} reports are missing`,
        );
      }
      await this.stream.close();
    } catch (thrown) {
      this.stream.abort();
      throw thrown;
    }
  }

  #bad(message: string): VsockboxError {
    return new VsockboxError({
      code: "BAD_DATA",
      operation: "read reports",
      message,
      hint: "was the guest started with --report, and in the same mode (persistent or not)?",
    });
  }
}
