/**
 * An eventfd that the kernel adds to when a descriptor is readable. The runtime can wait for an eventfd, but
 * not for an epoll of ours.
 */
import { AioPoll } from "../ffi/aio-poll.ts";
import { UringPoll } from "../ffi/uring-poll.ts";

/** What the kernel is asked by. */
export type WakeUpMethod = "io_uring" | "aio";

/** The methods in the order in which they are tried: the second one delays the exit of the process. */
export const WAKE_UP_METHODS: readonly WakeUpMethod[] = ["io_uring", "aio"];

/** An eventfd that is added to once for each time that this was asked for. */
export interface WakeUpEvent {
  /** The eventfd, non-blocking. It lives as long as this process. */
  readonly fd: number;
  /**
   * Asks that it is added to as soon as the descriptor is readable, unless the last time that this was
   * asked for is still to come.
   *
   * @returns whether that will happen.
   */
  armAgain(): boolean;
}

/**
 * Opens one for a descriptor that stays the caller's, and asks for the first time.
 *
 * @returns undefined if the kernel refuses this method.
 */
export function openWakeUpEvent(fd: number, method: WakeUpMethod): WakeUpEvent | undefined {
  return method === "io_uring" ? UringPoll.open(fd) : AioPoll.open(fd);
}
