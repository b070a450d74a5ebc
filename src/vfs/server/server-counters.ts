/** What an export has served since it was started. */

/** Counters of all connections together. */
export interface ServerCounters {
  requests: number;
  /** Data of reads and listings, in bytes. */
  readBytes: number;
  /** Data of writes and copies, in bytes. */
  writtenBytes: number;
  /** Connections since the start. */
  connections: number;
}

/** Returns counters at zero. */
export function newCounters(): ServerCounters {
  return { requests: 0, readBytes: 0, writtenBytes: 0, connections: 0 };
}
