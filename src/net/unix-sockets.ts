/** The Unix sockets with a listener, from /proc/net/unix. */
import { readFileSync } from "node:fs";

/** In /proc/net/unix: __SO_ACCEPTCON of linux/net.h. */
const ACCEPTS = 0x1_0000;

/** A listening Unix socket. */
export interface UnixListenerEntry {
  /** As its process has bound it. */
  path: string;
  /** Inode number of the socket, which /proc/PID/fd names. */
  inode: number;
}

/**
 * Reads the text of /proc/net/unix: a line for each socket, whose fourth word are its flags, whose seventh
 * is its inode, and whose eighth is its path, if it has one. proc(5).
 */
export function parseListeners(text: string): UnixListenerEntry[] {
  const listeners: UnixListenerEntry[] = [];
  for (const line of text.split("\n").slice(1)) {
    const match = /^\S+ \S+ \S+ ([0-9A-F]+) \S+ \S+ +(\d+) (\/.*)$/.exec(line);
    const [, flags = "0", inode, path] = match ?? [];
    if (path === undefined || (Number.parseInt(flags, 16) & ACCEPTS) === 0) continue;
    listeners.push({ path, inode: Number(inode) });
  }
  return listeners;
}

/** Returns the absolute paths of {@link parseListeners}. */
export function parseListeningSockets(text: string): string[] {
  return parseListeners(text).map(({ path }) => path);
}

/** Absolute paths of sockets with a listener in this network namespace; none without /proc. */
export function listeningSockets(): string[] {
  try {
    return parseListeningSockets(readFileSync("/proc/net/unix", "utf8"));
  } catch {
    return [];
  }
}
