/** The host's side of one connection of a guest-exec guest, ours or the C program. */
import { VsockboxError } from "../errors.ts";
import type { SocketStream } from "../io/stream.ts";
import { encodeDisposable } from "../protocols/guest-exec/command.ts";
import { encodeCommandFrame } from "../protocols/guest-exec/frame.ts";
import { type Report, ReportReader } from "../protocols/guest-exec/report.ts";

/**
 * How long a guest may send nothing at all, not even that it will report, until the host ends its
 * output all the same, in milliseconds: a guest without `--report` would otherwise wait for ever.
 */
const SILENT_GUEST_MS = 5000;

/** How a host talks to its guests. */
export interface GuestProtocol {
  /** Commands with their length in front; otherwise one command without. */
  persistent: boolean;
  /** Whether the guests send a report after each command. */
  report: boolean;
}

/** A guest that is connected. */
export class ConnectedGuest {
  /** Its CID, or a number if it has none. */
  readonly name: string;
  readonly stream: SocketStream;
  /**
   * Resolves when the guest has closed and all its reports were read.
   *
   * Rejects with a VsockboxError: BAD_DATA for an invalid report and for missing reports,
   * TRANSPORT if the connection broke.
   */
  readonly ended: Promise<void>;
  readonly #protocol: GuestProtocol;
  readonly #onReport: (report: Report, index: number) => Promise<void>;
  readonly #heard = Promise.withResolvers<void>();
  #allReported = Promise.withResolvers<void>();
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
    this.#allReported.resolve();
  }

  /** How many commands were sent. */
  get sent(): number {
    return this.#sent;
  }

  /**
   * Sends a command in a single write, since the C program reads once. A disposable guest gets the
   * end of input as soon as {@link finish} allows it; this method does not wait for that.
   *
   * @throws {VsockboxError} TRANSPORT if the guest has disconnected.
   */
  async send(command: Uint8Array): Promise<void> {
    if (this.#sent++ === this.#reports) this.#allReported = Promise.withResolvers();
    const { persistent } = this.#protocol;
    await this.stream.write(persistent ? encodeCommandFrame(command) : encodeDisposable(command));
    if (!persistent) void this.finish().catch(() => undefined);
  }

  /**
   * Ends this side's output, once every report is in: vhost-device-vsock turns a half-close of the
   * host into a full shutdown, and reports that come later are lost.
   *
   * @throws {VsockboxError} TRANSPORT if the guest has disconnected.
   */
  async finish(): Promise<void> {
    if (!this.#protocol.report) return this.stream.end();
    await this.#reportsReceived();
    // A guest disconnects after its last report; `ended` detects missing ones.
    await this.stream.end().catch(() => undefined);
  }

  async #reportsReceived(): Promise<void> {
    const closed = this.ended.then(
      () => undefined,
      () => undefined,
    );
    const silence = Promise.withResolvers<"silent">();
    const timer = setTimeout(() => silence.resolve("silent"), SILENT_GUEST_MS);
    const first = await Promise.race([this.#heard.promise, closed, silence.promise]);
    clearTimeout(timer);
    if (first !== "silent") await Promise.race([this.#allReported.promise, closed]);
  }

  async #receive(): Promise<void> {
    const reader = this.#protocol.report ? new ReportReader() : undefined;
    try {
      for await (const chunk of this.stream) {
        this.#heard.resolve();
        if (reader === undefined) continue;
        for (const report of reader.push(chunk)) {
          this.#reports++;
          if (this.#reports > this.#sent)
            throw this.#bad("a report of a command that was not sent");
          await this.#onReport(report, this.#reports);
          if (this.#reports === this.#sent) this.#allReported.resolve();
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
      // AF_VSOCK reports ENOTCONN if a guest has closed before this side ended its output.
      const isReset = thrown instanceof VsockboxError && thrown.code === "TRANSPORT";
      if (isReset && this.#hasAllReports) return;
      throw thrown;
    }
  }

  get #hasAllReports(): boolean {
    return this.#protocol.report && this.#sent > 0 && this.#reports === this.#sent;
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
