/** The listening sockets of all devices: opened before anything else, and removed at the end. */
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

/** Where devices and their backends get their listening sockets from; each is theirs from then on. */
export interface ListenerSource {
  /** The Unix socket of a path. */
  unix(path: string): UnixListener;
  /** The descriptor that listens on a port of AF_VSOCK, on any CID of the host's. */
  vsock(port: number, seqpacket: boolean): number;
}

/** Sockets as the next program after execve(2) is told of them. */
export interface InheritedSockets {
  unix: Pick<UnixListener, "fd" | "path" | "inode">[];
  /** Descriptors by what {@link vsockKey} gives. */
  vsock: Record<string, number>;
}

const vsockKey = (port: number, seqpacket: boolean) =>
  `${port} ${seqpacket ? "seqpacket" : "stream"}`;

/** Sockets that nobody has taken yet. */
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
   * @param warn told of a socket file that could not be removed at the end.
   * @throws {VsockboxError} CANNOT_CREATE, REFUSED, UNAVAILABLE (no vsock in this kernel), and CONFIG
   * for an owner that nobody is.
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

  /** The sockets that the program before this one has opened. */
  static adopt(handed: InheritedSockets, warn: (message: string) => void): ListeningSockets {
    const sockets = new ListeningSockets(warn);
    for (const { fd, path, inode } of handed.unix) {
      sockets.#unix.set(path, unixListener(fd, path, inode));
    }
    for (const [key, fd] of Object.entries(handed.vsock)) sockets.#vsock.set(key, fd);
    return sockets;
  }

  /** What the next program needs for {@link adopt}. */
  get handed(): InheritedSockets {
    return {
      unix: [...this.#unix.values()].map(({ fd, path, inode }) => ({ fd, path, inode })),
      vsock: Object.fromEntries(this.#vsock),
    };
  }

  /** The descriptors of all that nobody has taken. */
  get descriptors(): number[] {
    return [...[...this.#unix.values()].map(({ fd }) => fd), ...this.#vsock.values()];
  }

  unix(path: string): UnixListener {
    const listener = take(this.#unix, path);
    return { ...listener, removeFile: () => this.#remove(listener) };
  }

  vsock(port: number, seqpacket: boolean): number {
    return take(this.#vsock, vsockKey(port, seqpacket));
  }

  /** Closes and removes those that nobody has taken. */
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
      this.#warn(`${listener.path} was left behind: ${reasonOf(thrown).message}`);
    }
  }
}

function take<T>(from: Map<string, T>, key: string): T {
  const taken = from.get(key);
  from.delete(key);
  if (taken !== undefined) return taken;
  throw new VsockboxError({
    code: "SOFTWARE",
    operation: "serve",
    address: key,
    message: "this socket has not been opened, or is served already",
  });
}

function accessOf(
  mode: number | undefined,
  owner: string | undefined,
  users: UserDatabase,
): SocketAccess {
  return { mode, ...(owner === undefined ? {} : resolveOwner(owner, users)) };
}
