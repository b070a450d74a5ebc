/**
 * A vsockmon link, made for one capture: from a link of this kind the kernel's vsock hands out every
 * packet. It is this process's by a lock of its name, so that the link of a process which was killed is
 * recognised and removed by the next one.
 */
import { VsockboxError } from "../errors.ts";
import { NetlinkProtocol, NetlinkSocket } from "../ffi/netlink.ts";
import { assertVsockAllowed } from "../ffi/socket.ts";
import { lockName, type NameLock } from "../net/name-lock.ts";
import { netlinkRequest } from "../net/netlink-request.ts";
import {
  decodeLink,
  encodeLinkIndex,
  encodeLinkName,
  encodeNewLink,
  type Link,
  LinkMessage,
} from "../protocols/netlink/link.ts";
import { NetlinkFlag } from "../protocols/netlink/message.ts";

const KIND = "vsockmon";
const NAME_PREFIX = "vsockbox";
/** Names that are tried first, by their numbers from 0 on. */
const FIRST_NUMBERS = 8;
/** Names with random numbers that are tried then: another user cannot have occupied all of them. */
const RANDOM_NUMBERS = 64;
/** The names of links have 15 bytes, IFNAMSIZ. */
const MAX_NUMBER = 9_999_999;

const OPERATION = "create vsockmon link";
const NEEDS_ROOT = "it needs CAP_NET_ADMIN and CAP_NET_RAW: run it as root";

/** Returns whether a link is one of ours by its name and kind. */
export function isOwnLink({ name, kind }: Pick<Link, "name" | "kind">): boolean {
  return kind === KIND && new RegExp(`^${NAME_PREFIX}\\d{1,7}$`).test(name);
}

/**
 * Yields the names of links in the order in which they are tried.
 *
 * @param random returns a number from 0 to 1, exclusive.
 */
export function* linkNames(random: () => number = Math.random): Generator<string> {
  for (let number = 0; number < FIRST_NUMBERS; number++) yield `${NAME_PREFIX}${number}`;
  for (let count = 0; count < RANDOM_NUMBERS; count++) {
    const number = FIRST_NUMBERS + Math.floor(random() * (MAX_NUMBER + 1 - FIRST_NUMBERS));
    yield `${NAME_PREFIX}${number}`;
  }
}

/** A link that is up. */
export class VsockmonLink implements Disposable {
  readonly name: string;
  readonly index: number;
  #lock: Disposable | undefined;

  /** @param lock of its name, which is released after the link is removed. */
  constructor({ name, index }: Pick<Link, "name" | "index">, lock: Disposable) {
    this.name = name;
    this.index = index;
    this.#lock = lock;
  }

  /** Removes the link: no packets are captured from now on. A second call does nothing. */
  remove(): void {
    if (this.#lock === undefined) return;
    using _lock = this.#lock;
    this.#lock = undefined;
    using socket = new NetlinkSocket(NetlinkProtocol.Route, "netlink route");
    removeLink(socket, this);
  }

  [Symbol.dispose](): void {
    this.remove();
  }
}

/**
 * Removes the links of monitors that were killed, and creates a link.
 *
 * @throws {VsockboxError} REFUSED without the capability, and by VSOCKBOX_NO_VSOCK; UNAVAILABLE if the
 * kernel has no vsockmon.
 */
export function createVsockmonLink(): VsockmonLink {
  assertVsockAllowed({ operation: OPERATION });
  try {
    using socket = new NetlinkSocket(NetlinkProtocol.Route, "netlink route");
    for (const link of linksOf(socket)) {
      if (isOwnLink(link)) removeLeftover(socket, link);
    }
    return createLink(socket);
  } catch (thrown) {
    throw explained(thrown);
  }
}

function lockOf(name: string): NameLock {
  return lockName(`vsockbox/monitor/${name}`);
}

function linksOf(socket: NetlinkSocket): Link[] {
  return netlinkRequest(socket, {
    type: LinkMessage.Get,
    flags: NetlinkFlag.Dump,
    payload: encodeLinkIndex(0),
    operation: "list links",
  }).map(({ payload }) => decodeLink(payload));
}

function removeLink(socket: NetlinkSocket, { index, name }: Pick<Link, "index" | "name">): void {
  try {
    netlinkRequest(socket, {
      type: LinkMessage.Delete,
      payload: encodeLinkIndex(index),
      operation: "remove link",
      address: name,
    });
  } catch (thrown) {
    // Another process has removed it.
    if (!(thrown instanceof VsockboxError) || thrown.errno !== "ENODEV") throw thrown;
  }
}

function removeLeftover(socket: NetlinkSocket, link: Link): void {
  const lock = lockOf(link.name);
  // Its process runs.
  if (lock === "held") return;
  // Another user cannot have made the link, and its process would hold the lock.
  if (lock === "occupied") return removeLink(socket, link);
  using _lock = lock;
  removeLink(socket, link);
}

function createLink(socket: NetlinkSocket): VsockmonLink {
  for (const name of linkNames()) {
    const lock = lockOf(name);
    if (typeof lock === "string") continue;
    try {
      const link = newLink(socket, name);
      if (link !== undefined) return new VsockmonLink(link, lock);
    } catch (thrown) {
      lock[Symbol.dispose]();
      throw thrown;
    }
    lock[Symbol.dispose]();
  }
  throw new VsockboxError({
    code: "UNAVAILABLE",
    operation: OPERATION,
    message: `${FIRST_NUMBERS + RANDOM_NUMBERS} names from ${NAME_PREFIX}0 on are in use`,
  });
}

/** Returns undefined if a link of another program has the name. */
function newLink(socket: NetlinkSocket, name: string): Link | undefined {
  try {
    netlinkRequest(socket, {
      type: LinkMessage.New,
      flags: NetlinkFlag.Create | NetlinkFlag.Exclusive,
      payload: encodeNewLink(name, KIND),
      operation: OPERATION,
      address: name,
    });
  } catch (thrown) {
    if (thrown instanceof VsockboxError && thrown.errno === "EEXIST") return undefined;
    throw thrown;
  }
  const [message] = netlinkRequest(socket, {
    type: LinkMessage.Get,
    payload: encodeLinkName(name),
    operation: "find link",
    address: name,
  });
  if (message !== undefined) return decodeLink(message.payload);
  throw new VsockboxError({
    code: "UNAVAILABLE",
    operation: "find link",
    address: name,
    message: "another process has removed it",
  });
}

/** Adds the usual causes to an error of the kernel. */
function explained(thrown: unknown): unknown {
  if (!(thrown instanceof VsockboxError)) return thrown;
  if (thrown.errno === "EPERM") return thrown.withHint(NEEDS_ROOT);
  // The kernel has no driver of this kind, and has not found a module either.
  if (thrown.errno !== "EOPNOTSUPP") return thrown;
  return new VsockboxError({
    code: "UNAVAILABLE",
    operation: OPERATION,
    message: "the kernel has no vsockmon",
    errno: thrown.errno,
    hint: "load it with `modprobe vsockmon`",
    cause: thrown,
  });
}
