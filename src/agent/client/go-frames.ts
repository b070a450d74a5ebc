/**
 * Decides that an agent has only the Go agent's frames. It closes the connection for a Hello, but so does an
 * agent that ends, or starts, at that moment: one Hello is not believed, and the decision is not kept for long.
 */
import { OldAgentError } from "./handshake.ts";

/** How long an agent is known to have only the Go agent's frames, in milliseconds. */
export const GO_FRAMES_MS = 10_000;

/**
 * Connects, and once more if the agent has closed the connection for the first Hello.
 *
 * @throws {OldAgentError} if it has closed both.
 */
export async function connectTwice<T>(connect: () => Promise<T>): Promise<T> {
  try {
    return await connect();
  } catch (thrown) {
    if (!(thrown instanceof OldAgentError)) throw thrown;
    return connect();
  }
}

/** What is known of one agent; times are by performance.now(). */
export class KnownGoFrames {
  #until = -Infinity;

  /** Whether the agent has closed the connection for a Hello a short time ago. */
  isRecent(now: number): boolean {
    return now < this.#until;
  }

  /** Notes that it has just done so. */
  note(now: number): void {
    this.#until = now + GO_FRAMES_MS;
  }

  /** Forgets it: a connection has failed, and another agent may answer the next one. */
  forget(): void {
    this.#until = -Infinity;
  }
}
