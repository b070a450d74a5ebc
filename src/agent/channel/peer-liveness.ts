/**
 * Detects a peer that sends nothing any more without closing the connection: a stopped or paused
 * process, a VM that hangs, a host that crashed. The kernel accepts bytes for such a peer and reports nothing.
 *
 * Silence counts only while an answer is due, that is, while channels or pings are open. It begins
 * with the request or with the last byte of the peer, whichever is later, and has two phases:
 *
 *   first answer   after a request, until any byte of the peer: a ping after a tenth of the connect
 *                  timeout, and the end after all of it;
 *   keepalive      from then on: a ping after each keepalive interval, and the end after
 *                  KEEPALIVE_MISSES of them. A long command that prints nothing is in this phase.
 *
 * A peer that is only slow answers the ping, since it reads pings whatever its channels wait for. One
 * that does not answer yet but accepts bytes of a write that had to wait is not silent either. Time in
 * which this process itself did not run (stopped by Ctrl-Z, starved) does not count.
 */

/** Silent keepalive intervals after which the peer counts as lost, as ssh's ServerAliveCountMax. */
export const KEEPALIVE_MISSES = 3;

/** Interval between keepalive pings by default, in milliseconds. */
export const DEFAULT_KEEPALIVE_MS = 30_000;

/** The ping is sent after this fraction (1/10) of the first answer's time limit. */
const PING_PART = 10;

/** Bounds of the time between two checks, in milliseconds. */
const MIN_TICK_MS = 5;
const MAX_TICK_MS = 1000;

/** A check that is later than this was delayed by this side, in milliseconds. */
const LATE_MS = 1000;

/** Limits of the peer's silence. */
export interface LivenessLimits {
  /** Until the first byte that follows a request, in milliseconds. */
  answerMs: number;
  /** Between keepalive pings, in milliseconds; 0 switches them off. */
  keepaliveMs: number;
}

/** Result of a check: wait, send a ping, or end the connection after `silentMs` of silence. */
export type LivenessVerdict =
  { kind: "wait" } | { kind: "ping" } | { kind: "lost"; silentMs: number; phase: LivenessPhase };

/** Whether the peer has sent anything since the last request. */
export type LivenessPhase = "first-answer" | "keepalive";

/** Liveness of one connection; all times are of one monotonic clock, in milliseconds. */
export class PeerLiveness {
  readonly #limits: LivenessLimits;
  #phase: LivenessPhase = "keepalive";
  #silentSince: number;
  #isPinged = false;
  #checkedAt: number;

  constructor(limits: LivenessLimits, nowMs: number) {
    this.#limits = limits;
    this.#silentSince = nowMs;
    this.#checkedAt = nowMs;
  }

  /** How often {@link check} has to be called while an answer is due, in milliseconds. */
  get tickMs(): number {
    const { answerMs, keepaliveMs } = this.#limits;
    const least = Math.min(answerMs, keepaliveMs === 0 ? Infinity : keepaliveMs);
    return Math.min(MAX_TICK_MS, Math.max(MIN_TICK_MS, least / PING_PART));
  }

  /** Notes that a request was sent, after the last byte of the peer at `lastByteAtMs`. */
  onRequest(nowMs: number, lastByteAtMs: number): void {
    const isAnswered = lastByteAtMs > this.#silentSince;
    // A request that follows an unanswered one must not extend its time limit.
    if (this.#phase === "first-answer" && !isAnswered) return;
    this.#phase = "first-answer";
    this.#silentSince = nowMs;
    this.#isPinged = false;
  }

  /** Notes that checks begin again after a time in which no answer was due. */
  resume(nowMs: number): void {
    this.#silentSince = Math.max(this.#silentSince, nowMs);
    this.#checkedAt = nowMs;
    this.#isPinged = false;
  }

  /** Returns the action that is due now; `lastByteAtMs` is the time of the peer's last byte. */
  check(nowMs: number, lastByteAtMs: number): LivenessVerdict {
    const lateMs = nowMs - this.#checkedAt - this.tickMs;
    this.#checkedAt = nowMs;
    if (lastByteAtMs > this.#silentSince) {
      this.#silentSince = lastByteAtMs;
      this.#phase = "keepalive";
      this.#isPinged = false;
    }
    if (lateMs > LATE_MS) this.#silentSince = Math.min(nowMs, this.#silentSince + lateMs);
    const { pingAfterMs, lostAfterMs } = this.#allowed();
    const silentMs = nowMs - this.#silentSince;
    if (!this.#isPinged) {
      if (silentMs < pingAfterMs) return { kind: "wait" };
      this.#isPinged = true;
      // A delayed ping must not shorten the peer's time to answer it.
      this.#silentSince = Math.max(this.#silentSince, nowMs - pingAfterMs - this.tickMs);
      return { kind: "ping" };
    }
    if (silentMs < lostAfterMs) return { kind: "wait" };
    return { kind: "lost", silentMs, phase: this.#phase };
  }

  #allowed(): { pingAfterMs: number; lostAfterMs: number } {
    const { answerMs, keepaliveMs } = this.#limits;
    if (this.#phase === "first-answer") {
      return { pingAfterMs: answerMs / PING_PART, lostAfterMs: answerMs };
    }
    if (keepaliveMs === 0) return { pingAfterMs: Infinity, lostAfterMs: Infinity };
    return { pingAfterMs: keepaliveMs, lostAfterMs: keepaliveMs * KEEPALIVE_MISSES };
  }
}
