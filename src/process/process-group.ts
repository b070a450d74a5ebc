/** A running command as the leader of its own session and process group, and its ending. */
import { constants } from "node:os";
import { exitStatus, type ExitStatus } from "./exit-status.ts";
import { forgetChild, registerChild } from "./own-children.ts";
import { processFacts, processIds } from "./process-facts.ts";

const { SIGCONT, SIGKILL, SIGTERM } = constants.signals;

/** After SIGTERM a command has this long before SIGKILL, in milliseconds. */
export const KILL_GRACE_MS = 5000;

/** How often an ended leader's group is looked at for members that still run, in milliseconds. */
const GROUP_CHECK_MS = 50;

/** A command started with `detached`: its pid is also the id of its group and session. */
export class ProcessGroup {
  /** Resolves when the command itself has ended; members of its group may still run. */
  readonly exited: Promise<ExitStatus>;
  readonly #process: Bun.Subprocess;
  #hasExited = false;

  constructor(subprocess: Bun.Subprocess) {
    this.#process = subprocess;
    registerChild(subprocess.pid);
    this.exited = this.#waitForExit();
  }

  /** The process id, and that of the group and the session. */
  get pid(): number {
    return this.#process.pid;
  }

  async #waitForExit(): Promise<ExitStatus> {
    try {
      await this.#process.exited;
    } finally {
      forgetChild(this.pid);
    }
    this.#hasExited = true;
    return exitStatus(this.#process.exitCode, this.#process.signalCode);
  }

  /** Sends a signal to a group of the session, by default the command's own, while it runs. */
  signalGroup(signal: number, group: number = this.pid): void {
    if (!this.#hasExited) send(group, signal);
  }

  /**
   * Ends the whole group: SIGTERM, and SIGKILL for what is left after {@link KILL_GRACE_MS}.
   * Resolves when no member of the group is left.
   */
  async terminateGroup(graceMs: number = KILL_GRACE_MS): Promise<void> {
    await this.#terminate([this.pid], graceMs);
  }

  /** As {@link terminateGroup}, for every group of the session: a shell's jobs have their own. */
  async terminateSession(graceMs: number = KILL_GRACE_MS): Promise<void> {
    await this.#terminate([...new Set([this.pid, ...groupsOfSession(this.pid)])], graceMs);
  }

  async #terminate(groups: number[], graceMs: number): Promise<void> {
    // A group's id cannot be given to anybody else as long as one member lives, so the first failed
    // look ends the matter: after it the id may be reused.
    let left = groups.filter((group) => send(group, SIGTERM));
    // A stopped process takes SIGTERM only once it goes on.
    for (const group of left) send(group, SIGCONT);
    const deadline = performance.now() + graceMs;
    while (left.length > 0 && performance.now() < deadline) {
      await Bun.sleep(GROUP_CHECK_MS);
      left = left.filter((group) => send(group, 0));
    }
    if (left.length === 0) return;
    for (const group of left) send(group, SIGKILL);
    await this.exited;
  }
}

/** Whether a process of the group was there to take the signal. */
function send(group: number, signal: number): boolean {
  try {
    process.kill(-group, signal);
    return true;
  } catch {
    return false;
  }
}

/** Process groups whose session is `session`, from /proc/PID/stat, proc(5). */
function groupsOfSession(session: number): number[] {
  return processIds().flatMap((pid) => {
    const facts = processFacts(pid);
    return facts?.session === session ? [facts.group] : [];
  });
}
