/**
 * The connections of refused peers that are still open, while they are sent the reason. They are few,
 * so that a flood of them leaves the descriptors to peers that are allowed: one more is closed at once.
 */
import { readFileSync } from "node:fs";

/** Refused peers that are answered at the same time. */
export const MAX_REFUSED_OPEN = 16;

/** Descriptors that are kept free for allowed peers and their commands. */
const RESERVED_DESCRIPTORS = 128;

/** Soft limit that is assumed if it cannot be read. */
const ASSUMED_DESCRIPTOR_LIMIT = 1024;

/** Something that is open until it resolves. */
interface Closing {
  readonly closed: Promise<void>;
}

/** Counts open connections of refused peers. */
export class RefusedPool {
  readonly #descriptorLimit: number;
  #open = 0;

  /** @param descriptorLimit RLIMIT_NOFILE of this process. */
  constructor(descriptorLimit: number = softDescriptorLimit()) {
    this.#descriptorLimit = descriptorLimit;
  }

  /**
   * Whether a refused peer may be answered. The kernel hands out the lowest free number, so that a high
   * one shows that descriptors are short.
   */
  hasCapacity(fd: number): boolean {
    const highest = Math.max(
      this.#descriptorLimit - RESERVED_DESCRIPTORS,
      this.#descriptorLimit / 2,
    );
    return this.#open < MAX_REFUSED_OPEN && fd < highest;
  }

  /** Counts a connection until it is closed. */
  add({ closed }: Closing): void {
    this.#open++;
    void closed.then(() => this.#open--);
  }
}

/** Reads the soft limit of open descriptors, proc(5). */
function softDescriptorLimit(): number {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? ASSUMED_DESCRIPTOR_LIMIT);
  } catch {
    return ASSUMED_DESCRIPTOR_LIMIT;
  }
}
