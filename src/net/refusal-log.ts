/**
 * Log lines about refused peers: the first of its kind at once, and how many followed once in ten
 * seconds, so that a flood of them does not fill a disk. They are counted by peer (a CID, not a port)
 * and by reason.
 */

/** Between two lines about the same peer and reason, in milliseconds. */
const REFUSAL_SUMMARY_MS = 10_000;

/** Peers and reasons that are counted apart; more of them are counted together. */
export const MAX_COUNTED = 64;

const OTHERS = "other peers";

interface Count {
  peer: string;
  reason: string;
  /** Since the last line. */
  suppressed: number;
}

/** Counts refusals and writes lines about them. */
export class RefusalLog {
  readonly #warn: (line: string) => void;
  readonly #counts = new Map<string, Count>();
  #timer: Timer | undefined;

  constructor(warn: (line: string) => void) {
    this.#warn = warn;
  }

  /** Notes a refusal of `peer`, such as `vsock:3`, for `reason`. */
  note(peer: string, reason: string): void {
    const key = `${peer}\n${reason}`;
    const known = this.#counts.get(key) ?? this.#others();
    if (known !== undefined) {
      known.suppressed++;
      return;
    }
    this.#counts.set(key, { peer, reason, suppressed: 0 });
    this.#warn(`${peer}: refused, ${reason}`);
    this.#timer ??= this.#start();
  }

  /** Logs the pending counts, and forgets peers that have not connected again. */
  flush(): void {
    for (const [key, count] of this.#counts) {
      const { peer, reason, suppressed } = count;
      if (suppressed === 0) this.#counts.delete(key);
      else this.#warn(`${peer}: refused ${suppressed} more, ${reason}`);
      count.suppressed = 0;
    }
    if (this.#counts.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #others(): Count | undefined {
    if (this.#counts.size < MAX_COUNTED) return undefined;
    const others = this.#counts.get(OTHERS) ?? {
      peer: OTHERS,
      reason: "for several reasons",
      suppressed: 0,
    };
    this.#counts.set(OTHERS, others);
    return others;
  }

  #start(): Timer {
    const timer = setInterval(() => this.flush(), REFUSAL_SUMMARY_MS);
    timer.unref();
    return timer;
  }
}
