/** Processor time of this process, user and system, from a start on. */

/** Processor time, in microseconds. */
export interface CpuTime {
  userUs: number;
  systemUs: number;
}

/** Measures from {@link start} on; before it, from the construction on. */
export class CpuClock {
  #begin = process.cpuUsage();

  /** Begins anew. */
  start(): void {
    this.#begin = process.cpuUsage();
  }

  /** Returns the time since the start. */
  elapsed(): CpuTime {
    const { user, system } = process.cpuUsage(this.#begin);
    return { userUs: user, systemUs: system };
  }

  /** Returns the sum of {@link elapsed}. */
  elapsedUs(): number {
    const { userUs, systemUs } = this.elapsed();
    return userUs + systemUs;
  }
}
