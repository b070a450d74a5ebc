/** A running command as the leader of its own session and process group, and its ending. */
import { endGroups, groupsOfSessions, KILL_GRACE_MS, signalProcessGroup } from "./end-groups.ts";
import { exitStatus, type ExitStatus } from "./exit-status.ts";
import { forgetGroup, recordGroup } from "./group-guard.ts";
import { forgetChild, registerChild } from "./own-children.ts";

/** A process that was started, or whose helper was. */
export interface StartedProcess {
  subprocess: Bun.Subprocess;
  /** Rejects with a {@link StartError} if the helper could not become the command. */
  started: Promise<void>;
}

/** A command started with `detached`: its pid is also the id of its group and session. */
export class ProcessGroup {
  /** Resolves when the command itself has ended; members of its group may still run. */
  readonly exited: Promise<ExitStatus>;
  /** Resolves when the command runs; rejects with a `StartError` if it could not be started. */
  readonly started: Promise<void>;
  readonly #process: Bun.Subprocess;
  #hasExited = false;
  /** How many calls are ending the group. */
  #endings = 0;

  constructor({ subprocess, started }: StartedProcess) {
    this.#process = subprocess;
    this.started = started;
    started.catch(() => undefined);
    registerChild(subprocess.pid);
    recordGroup(subprocess.pid);
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
      this.#forget();
    }
    this.#hasExited = true;
    return exitStatus(this.#process.exitCode, this.#process.signalCode);
  }

  /** Sends a signal to a group of the session, by default the command's own, while it runs. */
  signalGroup(signal: number, group: number = this.pid): void {
    if (!this.#hasExited) signalProcessGroup(group, signal);
  }

  /**
   * Ends the whole group: SIGTERM, and SIGKILL for the rest after {@link KILL_GRACE_MS}.
   * Resolves when no member of the group is left.
   */
  async terminateGroup(graceMs: number = KILL_GRACE_MS): Promise<void> {
    await this.#end([this.pid], graceMs);
  }

  /** As {@link terminateGroup}, for every group of the session: a shell's jobs have their own. */
  async terminateSession(graceMs: number = KILL_GRACE_MS): Promise<void> {
    await this.#end(groupsOfSessions([this.pid]), graceMs);
  }

  async #end(groups: readonly number[], graceMs: number): Promise<void> {
    this.#endings++;
    try {
      if (await endGroups(groups, graceMs)) await this.exited;
    } finally {
      this.#endings--;
      if (this.#hasExited) this.#forget();
    }
  }

  /** The group of a command that is being ended stays recorded until it has ended. */
  #forget(): void {
    if (this.#endings === 0) forgetGroup(this.pid);
  }
}
