/** A listening Unix socket for the device's own loop. */
import { unlinkSync } from "node:fs";
import { AF_UNIX, encodeSockaddrUn } from "../ffi/sockaddr.ts";
import {
  bindSocket,
  closeDescriptor,
  listenSocket,
  openSocket,
  SOCK_STREAM,
} from "../ffi/socket.ts";
import { inodeOf, removeStaleSocket } from "../net/listen.ts";

/** A listener and how to end it. */
export interface UnixListener {
  readonly fd: number;
  /** Stops listening, and removes the socket file where it is still ours. */
  close(): void;
}

/**
 * Binds and listens with mode 0600. A stale socket is replaced, never one that somebody listens on,
 * nor a file of another kind.
 *
 * @throws {VsockboxError} CANNOT_CREATE.
 */
export function openUnixListener(path: string): UnixListener {
  const sockaddr = encodeSockaddrUn(path);
  removeStaleSocket(path, sockaddr);
  const call = {
    operation: "listen on",
    address: path,
    code: "CANNOT_CREATE",
    hint: "the directory must exist and be writable, and the path must be free",
  } as const;
  const fd = openSocket(AF_UNIX, SOCK_STREAM, path);
  const mask = process.umask(0o177);
  try {
    bindSocket(fd, sockaddr, call);
    listenSocket(fd, call);
  } catch (thrown) {
    closeDescriptor(fd);
    throw thrown;
  } finally {
    process.umask(mask);
  }
  const made = inodeOf(path);
  return {
    fd,
    close() {
      closeDescriptor(fd);
      if (made !== undefined && inodeOf(path) === made) unlinkSync(path);
    },
  };
}
