import { describe, expect, test } from "bun:test";
import {
  DEFAULT_KEEPALIVE_MS,
  KEEPALIVE_MISSES,
  type LivenessVerdict,
  PeerLiveness,
} from "../../../../src/agent/channel/peer-liveness.ts";

const LIMITS = { answerMs: 10_000, keepaliveMs: 30_000 };

/** Checks at every tick until the end, and notes when something had to be done. */
function timeline(
  liveness: PeerLiveness,
  {
    from = 0,
    to,
    heard = () => from,
  }: { from?: number; to: number; heard?: (now: number) => number },
): string[] {
  const events: string[] = [];
  for (let now = from + liveness.tickMs; now <= to; now += liveness.tickMs) {
    const verdict: LivenessVerdict = liveness.check(now, heard(now));
    if (verdict.kind === "wait") continue;
    events.push(
      verdict.kind === "lost"
        ? `${now}: lost in ${verdict.phase} after ${verdict.silentMs}`
        : `${now}: ping`,
    );
    if (verdict.kind === "lost") break;
  }
  return events;
}

const requested = (limits = LIMITS, at = 0) => {
  const liveness = new PeerLiveness(limits, at);
  liveness.resume(at);
  liveness.onRequest(at, at);
  return liveness;
};

describe("the first answer", () => {
  test("a tenth of the time limit brings a ping, all of it the end", () => {
    expect(timeline(requested(), { to: 60_000 })).toEqual([
      "1000: ping",
      "10000: lost in first-answer after 10000",
    ]);
  });

  test("further requests do not put off the end", () => {
    const liveness = requested();
    const events: string[] = [];
    for (let now = 1000; now <= 10_000; now += 1000) {
      liveness.onRequest(now - 1, 0);
      events.push(liveness.check(now, 0).kind);
    }
    expect(events).toEqual(["ping", ...Array.from({ length: 8 }, () => "wait"), "lost"]);
  });

  test("a request that follows an answer has the whole time again", () => {
    const liveness = requested();
    expect(timeline(liveness, { to: 9000, heard: () => 500 })).toEqual([]);
    liveness.onRequest(9000, 500);
    expect(timeline(liveness, { from: 9000, to: 60_000, heard: () => 500 })).toEqual([
      "10000: ping",
      "19000: lost in first-answer after 10000",
    ]);
  });

  test("it has its limit also without keepalive", () => {
    expect(timeline(requested({ answerMs: 2000, keepaliveMs: 0 }), { to: 60_000 })).toEqual([
      "200: ping",
      "2000: lost in first-answer after 2000",
    ]);
  });
});

describe("keepalive", () => {
  test("a peer that answers each ping is never lost, however silent the command is", () => {
    let answeredAt = 1;
    const liveness = requested();
    const events: string[] = [];
    for (let now = 1000; now <= 3_600_000; now += 1000) {
      const { kind } = liveness.check(now, answeredAt);
      if (kind === "ping") answeredAt = now + 5;
      if (kind !== "wait") events.push(kind);
    }
    expect(new Set(events)).toEqual(new Set(["ping"]));
    expect(events.length).toBeGreaterThan(100);
  });

  test("three intervals of silence are the end", () => {
    expect(timeline(requested(), { to: 200_000, heard: () => 500 })).toEqual([
      "31000: ping",
      "91000: lost in keepalive after 90500",
    ]);
    expect(KEEPALIVE_MISSES * DEFAULT_KEEPALIVE_MS).toBe(90_000);
  });

  test("an answer late, but in time, begins the silence anew", () => {
    const heard = (now: number) => (now < 85_000 ? 500 : 85_000);
    expect(timeline(requested(), { to: 180_000, heard })).toEqual([
      "31000: ping",
      "115000: ping",
      "175000: lost in keepalive after 90000",
    ]);
  });

  test("0 switches it off", () => {
    const liveness = requested({ answerMs: 1000, keepaliveMs: 0 });
    expect(timeline(liveness, { to: 10_000_000, heard: () => 500 })).toEqual([]);
  });
});

describe("time in which this side did not run", () => {
  test("does not count, and the peer has its time for the ping", () => {
    const liveness = requested();
    // Stopped by Ctrl-Z for an hour before the first check.
    expect(liveness.check(3_600_000, 0).kind).toBe("ping");
    expect(timeline(liveness, { from: 3_600_000, to: 3_700_000, heard: () => 0 })).toEqual([
      "3609000: lost in first-answer after 10000",
    ]);
  });

  test("does not count between the ping and its answer either", () => {
    const liveness = requested();
    expect(liveness.check(1000, 0).kind).toBe("ping");
    expect(liveness.check(50_000, 0).kind).toBe("wait");
    expect(liveness.check(51_000, 50_500).kind).toBe("wait");
    expect(liveness.check(60_000, 50_500).kind).toBe("wait");
  });

  test("a ping that is a little late still gets its answer's time", () => {
    const liveness = requested({ answerMs: 100, keepaliveMs: 0 });
    expect(timeline(liveness, { from: 890, to: 1000, heard: () => 0 })).toEqual([
      "900: ping",
      "980: lost in first-answer after 100",
    ]);
  });

  test("nor does time in which nothing was due", () => {
    const liveness = requested();
    liveness.check(1000, 500);
    liveness.resume(900_000);
    liveness.onRequest(900_000, 500);
    expect(liveness.check(900_500, 500).kind).toBe("wait");
    expect(liveness.check(901_500, 500).kind).toBe("ping");
  });
});

describe("checks", () => {
  test("come often enough for the shorter of the limits, and not more often than that", () => {
    const tick = (answerMs: number, keepaliveMs: number) =>
      new PeerLiveness({ answerMs, keepaliveMs }, 0).tickMs;
    expect(tick(10_000, 30_000)).toBe(1000);
    expect(tick(60_000, 0)).toBe(1000);
    expect(tick(500, 0)).toBe(50);
    expect(tick(10_000, 200)).toBe(20);
    expect(tick(0, 0)).toBe(5);
  });
});
