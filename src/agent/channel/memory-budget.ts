/**
 * One limit for all buffers of an agent, shared by rules instead of fixed parts, since most sessions
 * hold nothing most of the time.
 *
 * A {@link MemoryBudget} has one {@link BudgetShare} for each holder: the unread items of a channel, the
 * incomplete frame of a connection, the collected output of an Exec, the kept output of a detached
 * command. A holder calls `resize` before it keeps more bytes; if that returns false, it must not: it
 * ends its channel or connection, or drops output.
 *
 * A share may grow while it has at most as much as stays free (the dynamic threshold of shared-memory
 * switches, Choudhury and Hahne 1998). A single holder gets half of the limit; n holders
 * that all need more get 1/(n+1) each, and 1/(n+1) stays free: a session with little always finds free
 * memory, however much the others have.
 *
 * Kept output of detached commands is the only holder that can shrink, by its oldest bytes. It does so
 * for any other kind of holder, and for the output of another command that has less.
 */

/** Default limit as a part of the memory of the kernel or control group. */
const DEFAULT_BUDGET_FRACTION = 1 / 8;

/** The smallest limit, in bytes: one channel window and some. */
export const MIN_BUDGET_BYTES = 4 * 1024 * 1024;

/**
 * Returns the default limit, in bytes.
 *
 * @param totalBytes memory of the kernel that the agent runs on.
 * @param constrainedBytes limit of its control group; 0 if it has none.
 */
export function defaultBudgetBytes(totalBytes: number, constrainedBytes: number): number {
  const available = Math.min(totalBytes, constrainedBytes || totalBytes);
  return Math.max(MIN_BUDGET_BYTES, Math.floor(available * DEFAULT_BUDGET_FRACTION));
}

/** Drops the oldest held bytes until at most `bytes` are left, and calls `resize` with the rest. */
export type Shrink = (bytes: number) => void;

/** The limit and the shares in it. */
export class MemoryBudget {
  readonly limitBytes: number;
  readonly #shrinkable = new Set<BudgetShare>();
  #usedBytes = 0;

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  /** Bytes of all shares. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Returns an empty share; one with `shrink` is reduced if others need its memory. */
  share(shrink?: Shrink): BudgetShare {
    const share: BudgetShare = new BudgetShare({
      account: (difference) => {
        this.#usedBytes += difference;
      },
      admit: (bytes) => this.#admit(share, bytes),
      leave: () => void this.#shrinkable.delete(share),
      shrink,
    });
    if (shrink !== undefined) this.#shrinkable.add(share);
    return share;
  }

  /** Whether `share` may hold `bytes`; shrinks others for that. */
  #admit(share: BudgetShare, bytes: number): boolean {
    const missing = () => bytes - (this.limitBytes - (this.#usedBytes - share.bytes + bytes));
    while (missing() > 0) {
      const victim = this.#largest(share);
      // Output is only shrunk for output that is smaller, down to the same size.
      const least = share.isShrinkable ? bytes : 0;
      if (victim === undefined || victim.bytes <= least) return false;
      const before = victim.bytes;
      victim.shrinkTo(Math.max(least, before - missing()));
      if (victim.bytes >= before) return false;
    }
    return true;
  }

  #largest(except: BudgetShare): BudgetShare | undefined {
    let largest: BudgetShare | undefined;
    for (const share of this.#shrinkable) {
      if (share !== except && share.bytes > (largest?.bytes ?? 0)) largest = share;
    }
    return largest;
  }
}

/** Operations of the budget that a share calls. */
interface Ledger {
  account: (difference: number) => void;
  admit: (bytes: number) => boolean;
  leave: () => void;
  shrink: Shrink | undefined;
}

/** Part of a budget that one holder uses. */
export class BudgetShare {
  readonly #ledger: Ledger;
  #bytes = 0;
  #isReleased = false;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  /** Bytes of this share. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the budget may shrink it for others. */
  get isShrinkable(): boolean {
    return this.#ledger.shrink !== undefined;
  }

  /**
   * Changes the number of held bytes.
   *
   * @returns false, without a change, if that is more than it may hold now. A decrease always succeeds,
   * and so does everything after {@link release}, since the share is not counted any more.
   */
  resize(bytes: number): boolean {
    if (this.#isReleased) return true;
    if (bytes > this.#bytes && !this.#ledger.admit(bytes)) return false;
    this.#set(bytes);
    return true;
  }

  /** Drops down to `bytes`; called by the budget. */
  shrinkTo(bytes: number): void {
    this.#ledger.shrink?.(bytes);
  }

  /** Sets the share to 0 and removes it from the budget. */
  release(): void {
    this.#set(0);
    this.#isReleased = true;
    this.#ledger.leave();
  }

  #set(bytes: number): void {
    this.#ledger.account(bytes - this.#bytes);
    this.#bytes = bytes;
  }
}
