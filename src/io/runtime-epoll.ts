/**
 * The epoll in which the runtime waits for its own sockets and signals. An epoll can be watched by
 * another one (epoll(7)), so the device's loop need not poll to find out that the runtime
 * has something to do.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

const DESCRIPTORS = "/proc/self/fd";

/** What each epoll of this process waits for, by its descriptor. */
export type EpollTargets = ReadonlyMap<number, string>;

/** Reads all epoll instances of this process; proc(5), `/proc/[pid]/fdinfo`. */
export function epollTargets(): EpollTargets {
  const found = new Map<number, string>();
  for (const name of namesIn(DESCRIPTORS)) {
    try {
      if (readlinkSync(`${DESCRIPTORS}/${name}`) !== "anon_inode:[eventpoll]") continue;
      const lines = readFileSync(`/proc/self/fdinfo/${name}`, "utf8").split("\n");
      const targets = lines.filter((line) => line.startsWith("tfd:"));
      found.set(Number(name), targets.sort().join("\n"));
    } catch {
      // Closed in the meantime, as the descriptor of the list itself is.
    }
  }
  return found;
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/**
 * The runtime's epoll: the one that waits for something else since a server of the runtime's was
 * made.
 *
 * @param before the result of {@link epollTargets} before that.
 * @returns undefined if it cannot be determined, as without /proc.
 */
export function findRuntimeEpoll(before: EpollTargets): number | undefined {
  for (const [fd, targets] of epollTargets()) {
    const former = before.get(fd);
    if (former !== undefined && former !== targets) return fd;
  }
  return undefined;
}
