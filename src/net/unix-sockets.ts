/** The Unix sockets with a listener, from /proc/net/unix. */
import { readFileSync } from "node:fs";

/** In /proc/net/unix: __SO_ACCEPTCON of linux/net.h. */
const ACCEPTS = 0x1_0000;

/**
 * Reads the text of /proc/net/unix: a line for each socket, whose fourth word are its flags and whose
 * eighth is its path, if it has one. proc(5).
 */
export function parseListeningSockets(text: string): string[] {
  const paths: string[] = [];
  for (const line of text.split("\n").slice(1)) {
    const match = /^\S+ \S+ \S+ ([0-9A-F]+) \S+ \S+ +\S+ (\/.*)$/.exec(line);
    if (match?.[2] === undefined) continue;
    if ((Number.parseInt(match[1] ?? "0", 16) & ACCEPTS) !== 0) paths.push(match[2]);
  }
  return paths;
}

/** Absolute paths of sockets with a listener in this network namespace; none without /proc. */
export function listeningSockets(): string[] {
  try {
    return parseListeningSockets(readFileSync("/proc/net/unix", "utf8"));
  } catch {
    return [];
  }
}
