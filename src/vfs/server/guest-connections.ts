/**
 * Places of connections in a server of many guests. Each guest has a few of them, so that one guest cannot
 * keep the others out; all together have a limit of their own. A connection that has not opened an export is
 * replaced by the next one, first within its guest.
 */
import { ConnectionLimit } from "../../net/connection-limit.ts";

/** Limits of {@link GuestConnections}. */
export interface ConnectionLimits {
  /** Connections of all guests together. */
  readonly most: number;
  /** Connections of one guest. */
  readonly mostOfGuest: number;
}

/** The connections of a server, by their guests. */
export class GuestConnections<C> {
  readonly #limits: ConnectionLimits;
  readonly #close: (connection: C) => void;
  readonly #all: ConnectionLimit<C>;
  readonly #guests = new Map<string, ConnectionLimit<C>>();
  readonly #guestOf = new Map<C, string>();

  /** @param close closes a connection whose place another one needs. */
  constructor(limits: ConnectionLimits, close: (connection: C) => void) {
    this.#limits = limits;
    this.#close = close;
    this.#all = new ConnectionLimit(limits.most, (connection) => this.#replace(connection));
  }

  /**
   * Adds a connection that has not opened an export.
   *
   * @param guest the same text for all connections of one guest.
   * @returns the limit that leaves no place for it, if there is one.
   */
  add(connection: C, guest: string): keyof ConnectionLimits | undefined {
    const own = this.#guests.get(guest) ?? this.#newLimit();
    if (own.place() !== undefined) return "mostOfGuest";
    // The guest's own place that becomes free is one of all.
    const isReplacing = own.count >= this.#limits.mostOfGuest;
    if (!isReplacing && this.#all.place() !== undefined) return "most";
    own.wait(connection);
    // The one that it replaces may have been the guest's only one.
    this.#guests.set(guest, own);
    this.#guestOf.set(connection, guest);
    this.#all.wait(connection);
    return undefined;
  }

  #newLimit(): ConnectionLimit<C> {
    return new ConnectionLimit(this.#limits.mostOfGuest, (connection) => this.#replace(connection));
  }

  #replace(connection: C): void {
    this.remove(connection);
    this.#close(connection);
  }

  /** Notes that a connection has opened an export: it keeps its place. */
  opened(connection: C): void {
    this.#limitOf(connection)?.work(connection);
    this.#all.work(connection);
  }

  /** Forgets a connection that has ended. */
  remove(connection: C): void {
    const guest = this.#guestOf.get(connection);
    const own = this.#limitOf(connection);
    own?.remove(connection);
    if (guest !== undefined && own?.count === 0) this.#guests.delete(guest);
    this.#guestOf.delete(connection);
    this.#all.remove(connection);
  }

  #limitOf(connection: C): ConnectionLimit<C> | undefined {
    const guest = this.#guestOf.get(connection);
    return guest === undefined ? undefined : this.#guests.get(guest);
  }
}
