/** The log lines of an agent. */

/** Receives one call for each event. */
export interface AgentLog {
  info(message: string): void;
  warn(message: string): void;
}
