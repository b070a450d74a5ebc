import { expect, test } from "bun:test";
import { judgeSilence } from "../../../../src/diagnose/judge/silence.ts";
import { agentTarget, holder, vsockTarget } from "../../../support/doctor-facts.ts";

test("a stopped listener, or agent of the host, has a command that continues it", () => {
  expect(judgeSilence(agentTarget({}, { listener: holder("vsockbox agent", true) }))).toMatchObject(
    {
      severity: "error",
      code: "peer-stopped",
      failure: "TIMEOUT",
      message: "vsockbox agent (pid 71) is stopped",
      fix: "kill -CONT 71",
    },
  );
  const stoppedAgents = [{ pid: 72, command: ["vsockbox", "agent"], isStopped: true }];
  expect(judgeSilence(agentTarget({}, { ...vsockTarget(1), stoppedAgents }))).toMatchObject({
    fix: "kill -CONT 72",
  });
});

test("a peer of which nothing more is known is silent", () => {
  expect(judgeSilence(agentTarget())).toMatchObject({
    severity: "error",
    code: "peer-silent",
    failure: "TIMEOUT",
    fix: undefined,
    message: "unix:/run/a.sock has accepted the connection and does not answer",
  });
});
