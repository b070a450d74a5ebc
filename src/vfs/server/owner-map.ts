/** Which user and group of the host stands for which of the guest. */
import { VsockboxError } from "../../errors.ts";
import { readU32 } from "../../text/quantities.ts";

/** A pair of ids that stand for each other. */
export interface IdPair {
  guest: number;
  host: number;
}

/** An owner in the host. */
export interface OwnerIds {
  uid: number;
  gid: number;
}

/** In place of an id: leave it as it is, as chown(2) has it. */
export const UNCHANGED = 0xffff_ffff;

/** Options of {@link OwnerMap}. */
export interface OwnerOptions {
  /** Ids without a pair are the same on both sides. */
  users?: readonly IdPair[] | undefined;
  groups?: readonly IdPair[] | undefined;
  /** The owner of everything that guests make, whoever they are; their changes of owners are ignored. */
  squash?: OwnerIds | undefined;
}

/** The owners of one export. */
export class OwnerMap {
  readonly #users: IdMap;
  readonly #groups: IdMap;
  /** See {@link OwnerOptions.squash}. */
  readonly squash: OwnerIds | undefined;

  constructor({ users = [], groups = [], squash }: OwnerOptions = {}) {
    this.#users = new IdMap(users);
    this.#groups = new IdMap(groups);
    this.squash = squash;
  }

  /** Replaces the owner of facts of the host by that of the guest. */
  toGuest<Facts extends OwnerIds>(facts: Facts): Facts {
    facts.uid = this.#users.guestOf(facts.uid);
    facts.gid = this.#groups.guestOf(facts.gid);
    return facts;
  }

  /** The host's owner of something that a guest makes; an absent id is {@link UNCHANGED}. */
  ofNew(uid: number | undefined, gid: number | undefined): OwnerIds {
    return this.squash ?? this.toHost(uid, gid);
  }

  /** The host's ids for those of a guest; an absent one is {@link UNCHANGED}. */
  toHost(uid: number | undefined, gid: number | undefined): OwnerIds {
    return {
      uid: uid === undefined ? UNCHANGED : this.#users.hostOf(uid),
      gid: gid === undefined ? UNCHANGED : this.#groups.hostOf(gid),
    };
  }
}

/** One kind of ids. */
class IdMap {
  readonly #guests: ReadonlyMap<number, number>;
  readonly #hosts: ReadonlyMap<number, number>;

  constructor(pairs: readonly IdPair[]) {
    // The first pair of an id counts.
    const inOrder = pairs.toReversed();
    this.#guests = new Map(inOrder.map(({ guest, host }) => [host, guest]));
    this.#hosts = new Map(inOrder.map(({ guest, host }) => [guest, host]));
  }

  guestOf(host: number): number {
    return this.#guests.get(host) ?? host;
  }

  hostOf(guest: number): number {
    return this.#hosts.get(guest) ?? guest;
  }
}

function readId(text: string | undefined): number | undefined {
  const id = text === undefined ? undefined : readU32(text);
  return id === UNCHANGED ? undefined : id;
}

/** Reads `GUEST:HOST`; undefined if it is not a pair of ids. */
export function readIdPair(text: string): IdPair | undefined {
  const [guest, host, ...more] = text.split(":").map(readId);
  if (guest === undefined || host === undefined || more.length > 0) return undefined;
  return { guest, host };
}

/** Reads `UID:GID`; undefined if it is not a pair of ids. */
export function readOwner(text: string): OwnerIds | undefined {
  const pair = readIdPair(text);
  return pair === undefined ? undefined : { uid: pair.guest, gid: pair.host };
}

/**
 * Checks that the pairs are not ambiguous: one id of either side has one id of the other.
 *
 * @throws {VsockboxError} USAGE.
 */
export function checkIdPairs(option: string, pairs: readonly IdPair[]): readonly IdPair[] {
  for (const side of ["guest", "host"] as const) {
    const ids = pairs.map((pair) => pair[side]);
    const twice = ids.find((id, index) => ids.indexOf(id) !== index);
    if (twice === undefined) continue;
    const text = `${option} has the ${side}'s id ${twice} more than once`;
    throw new VsockboxError({ code: "USAGE", operation: "parse", text });
  }
  return pairs;
}
