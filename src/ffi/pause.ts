/** Stopping this thread for microseconds, less than any timer of the runtime: usleep(3). */
import { libc } from "./libc.ts";

/** Stops this thread; a signal ends that early. @param microseconds less than a million. */
export function pauseThread(microseconds: number): void {
  libc().usleep(microseconds);
}
