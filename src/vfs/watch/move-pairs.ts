/**
 * Joins the two halves of a rename. The kernel reports IN_MOVED_FROM and IN_MOVED_TO as two events
 * with one cookie; others may come between them, and one half is missing if the other directory is not
 * watched.
 */
import { IN_MOVED_FROM, IN_MOVED_TO } from "../../ffi/inotify.ts";
import type { InotifyEvent } from "./inotify-events.ts";

/** An event, or both halves of a rename. */
export type PairedEvent =
  { kind: "single"; event: InotifyEvent } | { kind: "move"; from: InotifyEvent; to: InotifyEvent };

/** A queue of events, in the order of the kernel; a rename has the place of its first half. */
export class MovePairs {
  #events: InotifyEvent[] = [];
  #next = 0;
  /** Second halves that are in the queue, by their cookies. */
  readonly #targets = new Map<number, InotifyEvent>();

  /** Adds the events of one read. */
  push(events: readonly InotifyEvent[]): void {
    this.#events = [...this.#events.slice(this.#next), ...events];
    this.#next = 0;
    for (const event of events) {
      if ((event.mask & IN_MOVED_TO) !== 0) this.#targets.set(event.cookie, event);
    }
  }

  get hasEvents(): boolean {
    return this.#next < this.#events.length;
  }

  /** Whether the first event is half of a rename whose other half is not in the queue. */
  get isHalf(): boolean {
    const first = this.#events[this.#next];
    return (
      first !== undefined && (first.mask & IN_MOVED_FROM) !== 0 && !this.#targets.has(first.cookie)
    );
  }

  /** Removes and returns the first event, which may be half of a rename; undefined: there is none. */
  shift(): PairedEvent | undefined {
    for (;;) {
      const event = this.#events[this.#next];
      if (event === undefined) return undefined;
      this.#next++;
      const target = this.#targets.get(event.cookie);
      if ((event.mask & IN_MOVED_TO) !== 0) {
        // Returned with its first half already.
        if (target !== event) continue;
        this.#targets.delete(event.cookie);
      } else if ((event.mask & IN_MOVED_FROM) !== 0 && target !== undefined) {
        this.#targets.delete(event.cookie);
        return { kind: "move", from: event, to: target };
      }
      return { kind: "single", event };
    }
  }
}
