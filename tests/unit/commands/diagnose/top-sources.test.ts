import { describe, expect, test } from "bun:test";
import { sampledAgent, sessionFacts } from "../../../../src/commands/diagnose/top-sources.ts";

test("the facts of an agent come from its info", () => {
  const machine = {
    ...{ hostname: "guest", load: [1, "x", 0.5], memory: { total: 10, available: 4 } },
  };
  expect(sampledAgent({ version: "0.1.0", uptime: 3, machine })).toEqual({
    ...{ version: "0.1.0", hostname: "guest", uptimeMs: 3000, load: [1, 0.5] },
    ...{ memoryTotalBytes: 10, memoryAvailableBytes: 4 },
  });
  for (const broken of [{}, { machine: 1, version: {} }, { machine: { load: 1, memory: [] } }]) {
    expect(sampledAgent(broken)).toEqual({
      ...{ version: "?", hostname: "?", uptimeMs: 0, load: [] },
      ...{ memoryTotalBytes: 0, memoryAvailableBytes: 0 },
    });
  }
});

describe("the facts of a session", () => {
  const running = { id: "a", pid: 7, state: "running", command: "sleep 9", startedMs: 1000 };

  test("have the time since its start, and the output of all its time", () => {
    expect(sessionFacts({ ...running, name: "n", output: { from: 5, to: 9 } }, 4000)).toEqual({
      ...{ id: "a", name: "n", pid: "7", state: "running", elapsedMs: 3000, outputBytes: 9 },
      command: "sleep 9",
    });
    expect(sessionFacts(running, 500)).toMatchObject({ elapsedMs: 0, name: "", outputBytes: 0 });
  });

  test("have the end of one that has ended", () => {
    const ended = { ...running, state: "ended", endedMs: 1500 };
    expect(sessionFacts({ ...ended, exit_code: 3 }, 9000)).toMatchObject({
      ...{ state: "ended (3)", elapsedMs: 500 },
    });
    const killed = { ...ended, exit_code: 143, signal: "SIGTERM" };
    expect(sessionFacts(killed, 9000).state).toBe("ended (SIGTERM)");
  });

  test("of a broken answer are unknown", () => {
    for (const broken of [undefined, 7, [], { output: 3, id: {} }]) {
      expect(sessionFacts(broken, 9)).toEqual({
        ...{ id: "?", name: "", pid: "?", state: "?", elapsedMs: 0, outputBytes: 0, command: "?" },
      });
    }
  });
});
