/**
 * One limit for all buffers of an agent, shared by rules instead of fixed parts, since most sessions
 * hold nothing most of the time.
 *
 * A holder may grow as long as it has no more than what is free afterwards (the dynamic threshold of
 * shared-memory switches, Choudhury and Hahne 1998). One holder alone gets half of the limit, n holders
 * that all want more get 1/(n+1) each, and 1/(n+1) stays free: a session that has little finds free
 * memory however much the others have.
 *
 * Kept output of detached commands is the only holder that can shrink, by its oldest bytes. It does so
 * for any other kind of holder, and for the output of another command that has less.
 */

/** Of the memory of the machine, unless configured otherwise. */
const DEFAULT_BUDGET_FRACTION = 1 / 8;

/** The smallest limit that is accepted, in bytes: one window and some. */
export const MIN_BUDGET_BYTES = 4 * 1024 * 1024;

/**
 * Returns the limit of an agent that has none configured, in bytes.
 *
 * @param totalBytes memory of the kernel that the agent runs on.
 * @param constrainedBytes limit of its control group; 0 if it has none.
 */
export function defaultBudgetBytes(totalBytes: number, constrainedBytes: number): number {
  const available = Math.min(totalBytes, constrainedBytes || totalBytes);
  return Math.max(MIN_BUDGET_BYTES, Math.floor(available * DEFAULT_BUDGET_FRACTION));
}

/** Drops the oldest of what is held until at most `bytes` are left, and calls `resize` with the rest. */
export type Shrink = (bytes: number) => void;

/** The limit and everybody's part in it. */
export class MemoryBudget {
  readonly limitBytes: number;
  readonly #shrinkable = new Set<BudgetShare>();
  #usedBytes = 0;

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  /** Bytes that are held now. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Returns a share that holds nothing yet; `shrink` makes it one that gives way to others. */
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

  /** Whether `share` may hold `bytes`, after others have given way. */
  #admit(share: BudgetShare, bytes: number): boolean {
    const missing = () => bytes - (this.limitBytes - (this.#usedBytes - share.bytes + bytes));
    while (missing() > 0) {
      const victim = this.#largest(share);
      // Output gives way to output of those who have less than it, down to the same size.
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

/** What a share needs of its budget. */
interface Ledger {
  account: (difference: number) => void;
  admit: (bytes: number) => boolean;
  leave: () => void;
  shrink: Shrink | undefined;
}

/** What one holder has of a budget. */
export class BudgetShare {
  readonly #ledger: Ledger;
  #bytes = 0;
  #isReleased = false;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  /** Bytes that are held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether it gives way to others. */
  get isShrinkable(): boolean {
    return this.#ledger.shrink !== undefined;
  }

  /**
   * Holds `bytes` from now on.
   *
   * @returns false, with nothing changed, if that is more than it may hold now. Less is always possible,
   * and so is everything after {@link release}, when it is not counted any more.
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

  /** Holds nothing, for good. */
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
