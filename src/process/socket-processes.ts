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
function descriptorsOf(directory: string): string[] | undefined {
  try {
    return readdirSync(directory);
  } catch (thrown) {
    return isGone(thrown) ? [] : undefined;
  }
}

/** A descriptor of a socket. */
export interface SocketDescriptor {
  inode: number;
  pid: number;
  fd: number;
  /** Its path in /proc. */
  path: string;
}

/** Descriptors of sockets. */
export interface SocketDescriptors {
  /** By ascending process id. */
  found: SocketDescriptor[];
  /** Number of processes whose descriptors this user may not read. */
  hiddenProcesses: number;
}

/**
 * Searches all processes for descriptors of the sockets.
 *
 * @param root a directory with another /proc; empty for the running system.
 */
export function socketDescriptors(inodes: ReadonlySet<number>, root = ""): SocketDescriptors {
  const found: SocketDescriptor[] = [];
  let hiddenProcesses = 0;
  const pids = inodes.size === 0 ? [] : (attempt(() => processIds(root)) ?? []);
  for (const pid of pids) {
    const directory = `${root}/proc/${pid}/fd`;
    const descriptors = descriptorsOf(directory);
    if (descriptors === undefined) hiddenProcesses++;
    for (const name of descriptors ?? []) {
      const path = `${directory}/${name}`;
      const inode = inodeOfLink(attempt(() => readlinkSync(path)) ?? "");
      if (inode === undefined || !inodes.has(inode)) continue;
      found.push({ inode, pid, fd: Number(name), path });
    }
  }
  return { found, hiddenProcesses };
}

/** Returns the sockets with the processes that have them open. */
export function processesOfSockets(inodes: ReadonlySet<number>): SocketOwnership {
  const sockets = new Map<number, OwnedSocket>();
  const { found, hiddenProcesses } = socketDescriptors(inodes);
  for (const { inode, pid, fd, path } of found) {
    const name = attempt(() => readFileSync(`/proc/${pid}/comm`, "utf8").trimEnd()) ?? "?";
    const socket = sockets.get(inode) ?? { uid: attempt(() => statSync(path).uid), processes: [] };
    socket.processes.push({ pid, name, fd });
    sockets.set(inode, socket);
  }
  return { sockets, hiddenProcesses };
}
