/** Processes that hold sockets, and their states, from /proc: proc(5). */
import { processIds } from "../../process/process-facts.ts";
import { socketDescriptors } from "../../process/socket-processes.ts";
import { parseListeners } from "../../net/unix-sockets.ts";
import { controlPathOf } from "../../protocols/hybrid/control.ts";
import type { SystemFiles } from "./system-files.ts";

/** A process. */
export interface HolderProcess {
  pid: number;
  /** The words of its command line; the kernel's name for it if there are none. */
  command: readonly string[];
  /** SIGSTOP, or a debugger, has stopped it. */
  isStopped: boolean;
}

/** Listeners by the paths of their sockets; undefined for a process that may not be examined. */
export type ListenerProcesses = ReadonlyMap<string, HolderProcess | undefined>;

/** Returns the sockets that listen in this network namespace, with their processes. */
export function readListeners(files: SystemFiles): ListenerProcesses {
  const listeners = parseListeners(files.text("/proc/net/unix") ?? "");
  const holders = readHolders(files, new Set(listeners.map(({ inode }) => inode)));
  return new Map(listeners.map(({ path, inode }) => [path, holders.get(inode)]));
}

/**
 * Returns whether a socket is a vhost-user device's for its VMM: hybrid-proxy has a control socket beside
 * it, and vhost-device-vsock names it as `socket` on its command line, as hybrid-proxy does.
 */
export function isVhostUser(path: string, listeners: ListenerProcesses): boolean {
  const listener = listeners.get(path);
  if (listener === undefined) return false;
  if (listeners.get(controlPathOf(path))?.pid === listener.pid) return true;
  return listener.command.some(
    (word, index, words) =>
      word.split(",").some((part) => /^(?:--)?socket=(.*)$/.exec(part)?.[1] === path) ||
      (word === path && words[index - 1] === "--socket"),
  );
}

/** Returns the first process that holds each of the sockets. */
function readHolders(files: SystemFiles, inodes: ReadonlySet<number>): Map<number, HolderProcess> {
  const holders = new Map<number, HolderProcess>();
  for (const { inode, pid } of socketDescriptors(inodes, files.root).found) {
    if (!holders.has(inode)) holders.set(inode, readProcess(files, pid));
  }
  return holders;
}

/** Returns the stopped processes of a program, by the base name of its first word. */
export function stoppedProcesses(files: SystemFiles, program: string): HolderProcess[] {
  return (files.names("/proc").length === 0 ? [] : processIds(files.root))
    .map((pid) => readProcess(files, pid))
    .filter(({ isStopped, command: [first = ""] }) => isStopped && lastPart(first) === program);
}

function readProcess(files: SystemFiles, pid: number): HolderProcess {
  const words = (files.text(`/proc/${pid}/cmdline`) ?? "").split("\0").slice(0, -1);
  const stat = files.text(`/proc/${pid}/stat`) ?? "";
  const state = stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3);
  const name = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
  return { pid, command: words.length === 0 ? [name] : words, isStopped: /^[Tt]$/.test(state) };
}

/** Returns the last part of a path. */
export function lastPart(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
