import { expect, test } from "bun:test";
import { AgentCounters } from "../../../../src/agent/server/agent-counters.ts";

test("bytes of open and closed connections are counted once", () => {
  const counters = new AgentCounters();
  const [a, b] = [
    { receivedBytes: 10, sentBytes: 1 },
    { receivedBytes: 200, sentBytes: 20 },
  ];
  counters.opened(a);
  counters.opened(b);
  expect(counters.carried).toEqual({ receivedBytes: 210, sentBytes: 21 });
  a.receivedBytes = 15;
  counters.closed(a);
  counters.closed(a);
  a.receivedBytes = 1000;
  expect(counters.carried).toEqual({ receivedBytes: 215, sentBytes: 21 });
});

test("all counts begin at 0", () => {
  const { sessionsOpened, sessionsFailed, startFailures, ...counters } = new AgentCounters();
  expect([sessionsOpened, sessionsFailed, startFailures]).toEqual([0, 0, 0]);
  expect(counters).toEqual({
    refusals: { cid: 0, sessions: 0, token: 0 },
    commandsStarted: { attached: 0, detached: 0, go: 0 },
  });
});

test("commands are counted by the outcome of their start", async () => {
  const counters = new AgentCounters();
  expect(await counters.countStart("go", () => Promise.resolve(5))).toBe(5);
  const failed = counters.countStart("detached", () => Promise.reject(new Error("no")));
  expect(await failed.catch((thrown: Error) => thrown.message)).toBe("no");
  expect(counters.commandsStarted).toEqual({ attached: 0, detached: 0, go: 1 });
  expect(counters.startFailures).toBe(1);
});
