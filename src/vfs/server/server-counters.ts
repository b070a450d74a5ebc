/** What an export has served. */

/** Counters of one connection. */
export interface ConnectionCounters {
  requests: number;
  /** Data of reads and listings, in bytes. */
  readBytes: number;
  /** Data of writes and copies, in bytes. */
  writtenBytes: number;
  /** Requests that are answered later, and are not yet. */
  inFlight: number;
}

/** Counters of all connections together, those that have ended among them. */
export interface ServerCounters extends ConnectionCounters {
  /** Connections since the start. */
  connections: number;
}

/** Returns counters at zero. */
export function newCounters(): ConnectionCounters {
  return { requests: 0, readBytes: 0, writtenBytes: 0, inFlight: 0 };
}

/** Adds what a connection has served. */
export function addCounters(total: ConnectionCounters, one: ConnectionCounters): void {
  total.requests += one.requests;
  total.readBytes += one.readBytes;
  total.writtenBytes += one.writtenBytes;
  total.inFlight += one.inFlight;
}
