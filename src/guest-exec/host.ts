/** The host: accepts guests and sends them commands. */
import { toVsockboxError, type VsockboxError } from "../errors.ts";
import type { SocketStream } from "../io/stream.ts";
import type { Report } from "../protocols/guest-exec/report.ts";
import { ConnectedGuest, type GuestProtocol } from "./connected-guest.ts";

/** Events of a host. */
export interface HostEvents {
  onConnected(guest: ConnectedGuest): void;
  /** `index` counts the guest's commands from 1. */
  onReport(guest: ConnectedGuest, index: number, report: Report): Promise<void>;
  onEnded(guest: ConnectedGuest, error: VsockboxError | undefined): void;
}

/** Options of {@link GuestExecHost}. */
export interface HostOptions extends GuestProtocol {
  /** Serve a single guest. */
  once: boolean;
  /** Guests that may be connected at once; by default {@link DEFAULT_MAX_GUESTS}. */
  maxGuests?: number | undefined;
  /** The commands for every guest; undefined: those of {@link GuestExecHost.feed}. */
  commands: readonly Uint8Array[] | undefined;
  events: HostEvents;
}

/** How many guests may be connected at once unless configured otherwise. */
export const DEFAULT_MAX_GUESTS = 1023;

/** All guests of one listener. */
export class GuestExecHost {
  readonly #options: HostOptions;
  readonly #guests = new Set<ConnectedGuest>();
  readonly #served = new Set<Promise<void>>();
  /** Disposable guests without a command. */
  #waiting: ConnectedGuest[] = [];
  #arrival = Promise.withResolvers<void>();
  readonly #firstEnded = Promise.withResolvers<void>();
  #count = 0;
  /** The largest exit status of a command, or of an error with a guest. */
  status = 0;

  constructor(options: HostOptions) {
    this.#options = options;
  }

  /** How many guests have come so far. */
  get count(): number {
    return this.#count;
  }

  /** Names of the guests that are connected. */
  get names(): string[] {
    return [...this.#guests].map(({ name }) => name);
  }

  /** Resolves when the first guest has ended. */
  get firstEnded(): Promise<void> {
    return this.#firstEnded.promise;
  }

  /**
   * Serves a guest's connection, or closes it: with `once` all but the first, and those beyond
   * `maxGuests`.
   *
   * @returns whether there are not too many guests for it.
   */
  accept(stream: SocketStream): boolean {
    const { once, events, maxGuests = DEFAULT_MAX_GUESTS } = this.#options;
    const isFull = this.#guests.size >= maxGuests;
    if (isFull || (once && this.#count > 0)) {
      stream.abort();
      return !isFull;
    }
    this.#count++;
    const guest = new ConnectedGuest(
      this.#nameOf(stream),
      stream,
      this.#options,
      (report, index) => {
        this.status = Math.max(this.status, report.exitCode);
        return events.onReport(guest, index, report);
      },
    );
    this.#guests.add(guest);
    events.onConnected(guest);
    const served = this.#serve(guest);
    this.#served.add(served);
    void served.then(() => this.#served.delete(served));
    return true;
  }

  async #serve(guest: ConnectedGuest): Promise<void> {
    const { commands, events } = this.#options;
    let error: VsockboxError | undefined;
    try {
      if (commands === undefined) {
        this.#waiting.push(guest);
        this.#arrival.resolve();
        this.#arrival = Promise.withResolvers();
      } else {
        for (const command of commands) await guest.send(command);
        await guest.finish();
      }
      await guest.ended;
    } catch (thrown) {
      // The guest's last report is more specific than a failed write.
      error = toVsockboxError(
        await guest.ended.then(
          () => thrown,
          (last: unknown) => last,
        ),
      );
      this.status = Math.max(this.status, error.exitStatus);
    }
    this.#guests.delete(guest);
    this.#waiting = this.#waiting.filter((other) => other !== guest);
    events.onEnded(guest, error);
    this.#firstEnded.resolve();
  }

  /**
   * Sends commands as they arrive: in persistent mode each to all guests that are connected then,
   * otherwise each to the next guest. Without a guest it waits for one. Resolves when there are no
   * more commands and all guests that got one have ended.
   */
  async feed(commands: AsyncIterable<Uint8Array>): Promise<void> {
    const { persistent } = this.#options;
    for await (const command of commands) {
      while (persistent ? this.#guests.size === 0 : this.#waiting.length === 0) {
        await this.#arrival.promise;
      }
      const takers = persistent ? [...this.#guests] : this.#waiting.splice(0, 1);
      // A disconnected guest is ended by its own error.
      await Promise.all(takers.map((guest) => guest.send(command).catch(() => undefined)));
    }
    await Promise.all([...this.#guests].map((guest) => guest.finish().catch(() => undefined)));
    await Promise.all(this.#served);
  }

  /** Drops all guests. */
  close(): void {
    for (const { stream } of this.#guests) stream.abort();
  }

  /** The CID from the kernel, else a number; a second connection of a CID gets a number after it. */
  #nameOf({ peer }: SocketStream): string {
    if (peer.kind !== "vsock") return String(this.#count);
    const names = new Set(this.names);
    let name = String(peer.cid);
    for (let nth = 2; names.has(name); nth++) name = `${peer.cid}#${nth}`;
    return name;
  }
}
