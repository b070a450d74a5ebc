/**
 * A vsockmon link, made for one capture: from a link of this kind the kernel's vsock hands out every
 * packet. It is this process's by a lock of its name, so that the link of a process which was killed is
 * recognised and removed by the next one.
 */
import { VsockboxError } from "../errors.ts";
import { lockName } from "../ffi/name-lock.ts";
import { NetlinkProtocol, NetlinkSocket } from "../ffi/netlink.ts";
import { assertVsockAllowed } from "../ffi/socket.ts";
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
/** Links that one network namespace can have at once. */
const MAX_LINKS = 256;

const OPERATION = "create vsockmon link";
const NEEDS_ROOT = "it needs CAP_NET_ADMIN and CAP_NET_RAW: run it as root";

/** Returns whether a link is one of ours by its name and kind. */
export function isOwnLink({ name, kind }: Pick<Link, "name" | "kind">): boolean {
  return kind === KIND && new RegExp(`^${NAME_PREFIX}\\d{1,3}$`).test(name);
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

function lockOf(name: string): Disposable | undefined {
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
  using lock = lockOf(link.name);
  // Without the lock, its process runs.
  if (lock !== undefined) removeLink(socket, link);
}

function createLink(socket: NetlinkSocket): VsockmonLink {
  for (let number = 0; number < MAX_LINKS; number++) {
    const name = `${NAME_PREFIX}${number}`;
    const lock = lockOf(name);
    if (lock === undefined) continue;
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
    message: `the names ${NAME_PREFIX}0 to ${NAME_PREFIX}${MAX_LINKS - 1} are in use`,
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
