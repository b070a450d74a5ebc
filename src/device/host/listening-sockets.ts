/** The listening sockets of all devices: opened before the devices, and removed at the end. */
import type { VmConfig } from "../config/vm-config.ts";
import { reasonOf, VsockboxError } from "../../errors.ts";
import { closeDescriptor } from "../../ffi/socket.ts";
import { ANY } from "../../net/address.ts";
import {
  openUnixListener,
  openVsockListener,
  type UnixListener,
  unixListener,
} from "../../net/listen.ts";
import type { SocketAccess } from "../../net/socket-access.ts";
import { resolveOwner, systemUsers, type UserDatabase } from "../../process/users.ts";

/** Source of the listening sockets of devices and their back ends, which own them. */
export interface ListenerSource {
  /** Returns the Unix socket at a path. */
  unix(path: string): UnixListener;
  /** Returns a descriptor that listens on a port of AF_VSOCK, on any CID of the host. */
  vsock(port: number, seqpacket: boolean): number;
}

/** Sockets as they are passed to the program after execve(2). */
export interface InheritedSockets {
  unix: Pick<UnixListener, "fd" | "path" | "inode">[];
  /** Descriptors by {@link vsockKey}. */
  vsock: Record<string, number>;
}

const vsockKey = (port: number, seqpacket: boolean) =>
  `${port} ${seqpacket ? "seqpacket" : "stream"}`;

/** Open sockets that no device uses yet. */
export class ListeningSockets implements ListenerSource {
  readonly #unix = new Map<string, UnixListener>();
  readonly #vsock = new Map<string, number>();
  readonly #warn: (message: string) => void;

  private constructor(warn: (message: string) => void) {
    this.#warn = warn;
  }

  /**
   * Binds the sockets of these VMs: all, or none.
   *
   * @param warn receives a message if a socket file could not be removed at the end.
   * @throws {VsockboxError} CANNOT_CREATE, REFUSED, UNAVAILABLE (no vsock in this kernel), and CONFIG
   * for an unknown owner.
   */
  static open(configs: readonly VmConfig[], warn: (message: string) => void): ListeningSockets {
    const sockets = new ListeningSockets(warn);
    const users = systemUsers();
    try {
      for (const config of configs) sockets.#open(config, users);
      return sockets;
    } catch (thrown) {
      sockets.close();
      throw thrown;
    }
  }

  #open({ socket, socketMode, socketOwner, backend }: VmConfig, users: UserDatabase): void {
    this.#openUnix(socket, false, accessOf(socketMode, socketOwner, users));
    if (backend.kind === "unix") {
      const access = accessOf(backend.udsMode, backend.udsOwner, users);
      this.#openUnix(backend.udsPath, false, access);
      if (backend.seqpacketPath !== undefined) this.#openUnix(backend.seqpacketPath, true, access);
      return;
    }
    for (const port of backend.forwardListen) this.#openVsock(port, false);
    for (const port of backend.forwardListenSeqpacket ?? []) this.#openVsock(port, true);
  }

  #openUnix(path: string, seqpacket: boolean, access: SocketAccess): void {
    this.#unix.set(path, openUnixListener({ kind: "unix", path }, { seqpacket, access }));
  }

  #openVsock(port: number, seqpacket: boolean): void {
    const fd = openVsockListener({ kind: "vsock", cid: ANY, port }, seqpacket);
    this.#vsock.set(vsockKey(port, seqpacket), fd);
  }

  /** Returns the sockets that were opened before execve(2). */
  static adopt(inherited: InheritedSockets, warn: (message: string) => void): ListeningSockets {
    const sockets = new ListeningSockets(warn);
    for (const { fd, path, inode } of inherited.unix) {
      sockets.#unix.set(path, unixListener(fd, path, inode));
    }
    for (const [key, fd] of Object.entries(inherited.vsock)) sockets.#vsock.set(key, fd);
    return sockets;
  }

  /** The argument of {@link adopt} after execve(2). */
  get inherited(): InheritedSockets {
    return {
      unix: [...this.#unix.values()].map(({ fd, path, inode }) => ({ fd, path, inode })),
      vsock: Object.fromEntries(this.#vsock),
    };
  }

  /** The descriptors of all sockets that no device uses yet. */
  get descriptors(): number[] {
    return [...[...this.#unix.values()].map(({ fd }) => fd), ...this.#vsock.values()];
  }

  unix(path: string): UnixListener {
    const listener = removeFrom(this.#unix, path);
    return { ...listener, removeFile: () => this.#remove(listener) };
  }

  vsock(port: number, seqpacket: boolean): number {
    return removeFrom(this.#vsock, vsockKey(port, seqpacket));
  }

  /** Closes and removes the sockets that no device uses. */
  close(): void {
    for (const fd of this.descriptors) closeDescriptor(fd);
    for (const listener of this.#unix.values()) this.#remove(listener);
    this.#unix.clear();
    this.#vsock.clear();
  }

  #remove(listener: UnixListener): void {
    try {
      listener.removeFile();
    } catch (thrown) {
      // The next start replaces it.
      this.#warn(`cannot remove socket ${listener.path}: ${reasonOf(thrown).message}`);
    }
  }
}

function removeFrom<T>(sockets: Map<string, T>, key: string): T {
  const socket = sockets.get(key);
  sockets.delete(key);
  if (socket !== undefined) return socket;
  throw new VsockboxError({
    code: "SOFTWARE",
    operation: "serve",
    address: key,
    message: "the socket is not open, or is in use",
  });
}

function accessOf(
  mode: number | undefined,
  owner: string | undefined,
  users: UserDatabase,
): SocketAccess {
  return { mode, ...(owner === undefined ? {} : resolveOwner(owner, users)) };
}
