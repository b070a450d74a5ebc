/**
 * Wakes inotify watches of the guest when files change on the host. The kernel raises events for system
 * calls in the guest alone, so a process of its own sets the times of what has changed; the mount answers
 * these requests itself, and the host gets none of them. On a read-only mount it does so through a mount of
 * its own of the same file system: watches are those of files, whichever mount they are reached by.
 *
 * It is a process, not a thread: a thread of this program that waits for its own mount would keep the
 * mount, and itself, alive for ever if the program is killed.
 */
import { runningCommand } from "../../process/self.ts";
import { WAKE_WORD } from "./wake-word.ts";

/** Paths of one process at most; further ones are not reported. */
const MAX_PATHS = 1000;
/** Changes within this time go to one process, in milliseconds. */
const GATHER_MS = 20;
/** Pause between two processes, in milliseconds. */
const PAUSE_MS = 200;

const NUL = Uint8Array.of(0);

/** The paths to wake watches of, and the process that does it. */
export class WakeWatches {
  readonly #target: Uint8Array;
  #paths = new Map<string, Uint8Array>();
  #isBusy = false;
  #child: Bun.Subprocess | undefined;

  /** @param target the absolute path of the mount. */
  constructor(target: string) {
    this.#target = new TextEncoder().encode(target);
  }

  /** Whether a process is ours: its changes of times are not the host's. */
  isOwn(pid: number): boolean {
    return this.#child?.pid === pid;
  }

  /** Wakes the watches of a path below the mount, soon. */
  wake(path: Uint8Array): void {
    if (this.#paths.size >= MAX_PATHS) return;
    this.#paths.set(Buffer.from(path).toString("latin1"), path.slice());
    if (this.#isBusy) return;
    this.#isBusy = true;
    setTimeout(() => void this.#run(), GATHER_MS);
  }

  async #run(): Promise<void> {
    const paths = [...this.#paths.values()];
    this.#paths = new Map();
    const input = Buffer.concat([this.#target, ...paths].flatMap((path) => [path, NUL]));
    try {
      const [program, ...words] = runningCommand();
      this.#child = Bun.spawn([program, ...words, WAKE_WORD], {
        stdio: [input, "ignore", "ignore"],
      });
      await this.#child.exited;
    } catch {
      // Without another process the watches are not woken; all else goes on.
    }
    this.#child = undefined;
    setTimeout(() => {
      this.#isBusy = false;
      const [next] = this.#paths.values();
      if (next !== undefined) this.wake(next);
    }, PAUSE_MS);
  }
}
