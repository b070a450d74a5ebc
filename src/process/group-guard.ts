/**
 * What a service runs ends with the service, even after SIGKILL. Neither the kernel nor the runtime
 * has this for process groups: PR_SET_PDEATHSIG reaches a child alone, is bound to the thread that
 * started it, and is cleared by a change of user. So a second process of this program, in a session of
 * its own, waits for the end of a pipe that only the service holds, and then ends the groups in the
 * service's table. The service starts it with its first command and replaces it if it is killed.
 */
import { writeSync } from "node:fs";
import { createMemory, MFD_CLOEXEC } from "../ffi/memfd.ts";
import { closeDescriptor, openPipe } from "../ffi/socket.ts";
import { GROUP_GUARD_WORD } from "./group-guard-word.ts";
import { GroupTable } from "./group-table.ts";
import { forgetChild, registerChild } from "./own-children.ts";
import { selfCommand } from "./self.ts";

/** A guard that has been killed is replaced after this pause, in milliseconds. */
const RESTART_MS = 1000;

/** Records the groups that run, for the guard. */
class GroupGuard {
  readonly #memory = createMemory("vsockbox-groups", MFD_CLOEXEC);
  readonly #table = new GroupTable((bytes, offset) => {
    writeSync(this.#memory, bytes, 0, bytes.length, offset);
  });
  readonly #warn: (message: string) => void;
  #isRunning = false;

  constructor(warn: (message: string) => void) {
    this.#warn = warn;
  }

  add(group: number): void {
    this.#table.add(group);
    if (!this.#isRunning) this.#start();
  }

  remove(group: number): void {
    this.#table.remove(group);
  }

  #start(): void {
    const pipe = openPipe();
    const [program, ...words] = selfCommand();
    try {
      const guard = Bun.spawn([program, ...words, GROUP_GUARD_WORD], {
        // As `group-guard-process.ts` expects them; no other descriptor of the service stays open.
        stdio: [pipe.read, this.#memory, pipe.read],
        cwd: "/",
        env: {},
        detached: true,
      });
      registerChild(guard.pid);
      guard.unref();
      this.#isRunning = true;
      void guard.exited.finally(() => {
        forgetChild(guard.pid);
        closeDescriptor(pipe.write);
        this.#isRunning = false;
        if (this.#table.size > 0) setTimeout(() => this.#restart(), RESTART_MS).unref();
      });
    } catch (thrown) {
      closeDescriptor(pipe.write);
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      this.#warn(`commands will outlive this process if it is killed: ${reason}`);
    } finally {
      closeDescriptor(pipe.read);
    }
  }

  #restart(): void {
    if (!this.#isRunning && this.#table.size > 0) this.#start();
  }
}

let guard: GroupGuard | undefined;

/**
 * Has every command that is started from now on end with this process, however that ends.
 *
 * @param warn receives a message if that is impossible.
 */
export function guardGroups(warn: (message: string) => void): void {
  guard ??= new GroupGuard(warn);
}

/** Records a command that has been started; without {@link guardGroups} nothing. */
export function recordGroup(group: number): void {
  guard?.add(group);
}

/** Forgets a command that has ended. */
export function forgetGroup(group: number): void {
  guard?.remove(group);
}
