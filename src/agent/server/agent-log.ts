/** Receiver of an agent's log lines. */

/** Called once for each event. */
export interface AgentLog {
  info(message: string): void;
  warn(message: string): void;
}
