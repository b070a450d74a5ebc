/** Ending process groups: SIGTERM, and SIGKILL for the rest. */
import { constants } from "node:os";
import { processFacts, processIds } from "./process-facts.ts";

const { SIGCONT, SIGKILL, SIGTERM } = constants.signals;

/** After SIGTERM a command has this long before SIGKILL, in milliseconds. */
export const KILL_GRACE_MS = 5000;

/** How often the groups are checked for members that still run, in milliseconds. */
const GROUP_CHECK_MS = 50;

/**
 * Ends the groups. Resolves when no member of them is left, or SIGKILL has been sent.
 *
 * @param graceMs the time between SIGTERM and SIGKILL, in milliseconds.
 * @returns whether SIGKILL was necessary.
 */
export async function endGroups(groups: readonly number[], graceMs: number): Promise<boolean> {
  // A group's id cannot be reused as long as one member lives, so the first failed
  // signal is the last one to it: after that the id may be reused.
  let left = groups.filter((group) => signalProcessGroup(group, SIGTERM));
  // A stopped process receives SIGTERM only once it goes on.
  for (const group of left) signalProcessGroup(group, SIGCONT);
  const deadline = performance.now() + graceMs;
  while (left.length > 0 && performance.now() < deadline) {
    await Bun.sleep(GROUP_CHECK_MS);
    left = left.filter((group) => signalProcessGroup(group, 0));
  }
  for (const group of left) signalProcessGroup(group, SIGKILL);
  return left.length > 0;
}

/** Sends a signal to a group; returns whether it has a process that this one may send it to. */
export function signalProcessGroup(group: number, signal: number): boolean {
  try {
    process.kill(-group, signal);
    return true;
  } catch {
    return false;
  }
}

/** Returns the groups of the sessions, those of their leaders included: /proc/PID/stat, proc(5). */
export function groupsOfSessions(sessions: readonly number[]): number[] {
  const wanted = new Set(sessions);
  const groups = new Set(sessions);
  for (const pid of wanted.size === 0 ? [] : processIdsIfThere()) {
    const facts = processFacts(pid);
    if (facts !== undefined && wanted.has(facts.session)) groups.add(facts.group);
  }
  return [...groups];
}

/** Without /proc only the leaders' groups are known. */
function processIdsIfThere(): number[] {
  try {
    return processIds();
  } catch {
    return [];
  }
}
