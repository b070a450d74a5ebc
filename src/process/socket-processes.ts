/** Which processes have a socket open, from /proc: proc(5). */
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { processIds } from "./process-facts.ts";

/** A process that has a descriptor of a socket. */
export interface SocketProcess {
  pid: number;
  /** The command's name, at most 15 bytes, which the process may have chosen. */
  name: string;
  fd: number;
}

/** A socket with its processes. */
export interface OwnedSocket {
  /** The user who made the socket. */
  uid: number | undefined;
  processes: SocketProcess[];
}

/** The result of {@link processesOfSockets}. */
export interface SocketOwnership {
  /** By inode; only sockets that have been found. */
  sockets: Map<number, OwnedSocket>;
  /** Number of processes whose descriptors this user may not read. */
  hiddenProcesses: number;
}

/** The inode in a descriptor's link, `socket:[INODE]`; undefined for other files. */
export function inodeOfLink(link: string): number | undefined {
  const digits = /^socket:\[(\d+)\]$/.exec(link)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** Returns undefined if the process or the descriptor does not exist any longer, or may not be read. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function isGone(thrown: unknown): boolean {
  const code: unknown = thrown instanceof Error ? Reflect.get(thrown, "code") : undefined;
  return code === "ENOENT" || code === "ESRCH";
}

/** Returns the descriptors of a process; undefined if this user may not read them. */
function descriptorsOf(pid: number): string[] | undefined {
  try {
    return readdirSync(`/proc/${pid}/fd`);
  } catch (thrown) {
    return isGone(thrown) ? [] : undefined;
  }
}

/** Searches all processes for descriptors of the sockets. */
export function processesOfSockets(inodes: ReadonlySet<number>): SocketOwnership {
  const sockets = new Map<number, OwnedSocket>();
  let hiddenProcesses = 0;
  if (inodes.size === 0) return { sockets, hiddenProcesses };
  for (const pid of processIds()) {
    const descriptors = descriptorsOf(pid);
    if (descriptors === undefined) hiddenProcesses++;
    for (const fd of descriptors ?? []) {
      const path = `/proc/${pid}/fd/${fd}`;
      const inode = inodeOfLink(attempt(() => readlinkSync(path)) ?? "");
      if (inode === undefined || !inodes.has(inode)) continue;
      const name = attempt(() => readFileSync(`/proc/${pid}/comm`, "utf8").trimEnd()) ?? "?";
      const socket = sockets.get(inode) ?? {
        uid: attempt(() => statSync(path).uid),
        processes: [],
      };
      socket.processes.push({ pid, name, fd: Number(fd) });
      sockets.set(inode, socket);
    }
  }
  return { sockets, hiddenProcesses };
}
