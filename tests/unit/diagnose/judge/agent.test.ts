import { describe, expect, test } from "bun:test";
import { judgeAnsweringAgent } from "../../../../src/diagnose/judge/agent.ts";
import { FEATURES } from "../../../../src/protocols/agent/hello.ts";
import { TARGET, VERSION } from "../../../../src/version.ts";
import { agentTarget, failedTarget } from "../../../support/doctor-facts.ts";

const judge = (...changes: Parameters<typeof agentTarget>) =>
  judgeAnsweringAgent(agentTarget(...changes));
const LIMITS = {
  sessions: 2,
  buffersUsedBytes: 0,
  buffersLimitBytes: 1024,
  memoryAvailableBytes: 512,
  memoryTotalBytes: 1024,
  target: TARGET,
};
const UPGRADE = 'vsockbox cp "$(command -v vsockbox)" unix:/run/a.sock:/usr/local/bin/vsockbox';

test("a target without an agent has nothing to judge", () => {
  expect(judgeAnsweringAgent(failedTarget("greet"))).toEqual([]);
});

describe("the versions", () => {
  test("match", () => {
    expect(judge()[0]).toMatchObject({
      severity: "ok",
      code: "agent",
      message: `vsockbox 1 answers, this side is vsockbox ${VERSION}`,
    });
  });

  test("differ: an older agent is replaced", () => {
    const features = FEATURES.filter((name) => name !== "argv");
    expect(judge({ features })[0]).toMatchObject({
      severity: "warning",
      code: "agent-older",
      message: expect.stringContaining("the agent lacks argv"),
      fix: UPGRADE,
    });
    const limits = { ...LIMITS, target: "linux-other" };
    expect(judge({ features, limits })[0]).toMatchObject({
      fix: undefined,
      hint: "install this version's build for linux-other in the guest",
    });
    expect(judge({ features, limits: LIMITS })[0]).toMatchObject({ fix: UPGRADE });
  });

  test("differ: a newer agent works, its names made safe and few", () => {
    const more = ["a\n", "b", "c", "d", "e"];
    expect(judge({ features: [...FEATURES, ...more] })[0]).toMatchObject({
      severity: "info",
      code: "agent-newer",
      message: expect.stringMatching(/lacks a\\n, b, c, d, e$/),
    });
    expect(judge({ features: [...FEATURES, ...more, "f"] })[0]?.message).toEndWith("d, e …");
  });
});

test("an agent that answers its Hello alone is silent", () => {
  expect(judge({ isAnswering: false, clock: undefined })).toMatchObject([
    { code: "agent" },
    { severity: "error", code: "peer-silent", failure: "TIMEOUT" },
  ]);
});

test("the ready port", () => {
  expect(judge({ isReady: true })[1]).toMatchObject({ severity: "ok", code: "ready" });
  expect(judge({ isReady: false })[1]).toMatchObject({
    severity: "info",
    code: "ready-not",
    fix: "vsockbox wait unix:/run/a.sock",
  });
  expect(judge()[1]).toMatchObject({ code: "clock" });
});

describe("the clock", () => {
  const clock = (offsetMs: number, errorMs = 0) => judge({ clock: { offsetMs, errorMs } })[1];

  test("is right within two seconds and the error of its measurement", () => {
    for (const [offset, error] of [
      [0, 0],
      [2000, 0],
      [-2000, 0],
      [2500, 500],
      [-2500, 500],
    ] as const) {
      expect(clock(offset, error)).toMatchObject({ severity: "ok", code: "clock" });
    }
    expect(clock(-20.4)?.message).toBe("the clocks differ by 20 ms");
  });

  test("is off", () => {
    expect(clock(2501, 500)).toMatchObject({
      severity: "warning",
      code: "clock-off",
      message: "the guest's clock is 2.5 s fast",
      fix: 'vsockbox exec unix:/run/a.sock -- date -u -s "@$(date +%s)"',
    });
    expect(clock(-3_600_000)?.message).toBe("the guest's clock is 3600.0 s slow");
  });

  test("is not known", () => {
    expect(judge({ clock: undefined }).map(({ code }) => code)).toEqual(["agent"]);
  });
});

describe("the limits", () => {
  const limits = (changes: Partial<typeof LIMITS>) =>
    judge({ limits: { ...LIMITS, ...changes } }).at(-1);

  test("are far", () => {
    expect(limits({})).toMatchObject({
      severity: "ok",
      code: "limits",
      message: "2 sessions, 0 B of 1.0 KiB of buffers, 512 B of memory available",
    });
    expect(limits({ buffersLimitBytes: Number.NaN })?.message).toBe(
      "2 sessions, 512 B of memory available",
    );
  });

  test("of the buffers are near", () => {
    expect(limits({ buffersUsedBytes: 921 })).toMatchObject({ severity: "ok" });
    expect(limits({ buffersUsedBytes: 922 })).toMatchObject({
      severity: "warning",
      code: "limits-reached",
      fix: "vsockbox ps unix:/run/a.sock",
      hint: expect.stringContaining("--max-memory"),
    });
  });

  test("of the guest's memory are near", () => {
    expect(limits({ memoryAvailableBytes: 103 })).toMatchObject({ severity: "ok" });
    expect(limits({ memoryAvailableBytes: 102 })).toMatchObject({
      severity: "warning",
      code: "limits-reached",
      hint: expect.stringContaining("short of memory"),
    });
  });
});
