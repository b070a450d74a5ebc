import { expect, test } from "bun:test";
import { managerCommands } from "../../../src/install/service-manager.ts";

const lines = (...words: Parameters<typeof managerCommands>) => {
  const { before, after } = managerCommands(...words);
  return [before, after].map((list) => list.map((command) => command.join(" ")));
};

test("systemd is told of the unit, and starts it only when asked to", () => {
  const told = ["systemctl daemon-reload", "systemctl enable vsockbox-agent.service"];
  expect(lines("systemd", "installed", false, false)).toEqual([[], told]);
  expect(lines("systemd", "installed", true, false)).toEqual([
    [],
    [
      ...told,
      "systemctl restart vsockbox-agent.service",
      "systemctl is-active vsockbox-agent.service",
    ],
  ]);
  expect(lines("systemd", "unchanged", true, false)).toEqual([
    [],
    ["systemctl start vsockbox-agent.service", "systemctl is-active vsockbox-agent.service"],
  ]);
  expect(lines("systemd", "removed", true, false)).toEqual([
    ["systemctl stop vsockbox-agent.service"],
    ["systemctl daemon-reload"],
  ]);
});

test("a command of the agent itself does not wait for the end of it", () => {
  expect(lines("systemd", "installed", true, true)[1]?.at(-1)).toBe(
    "systemd-run --quiet --collect --on-active=2s --timer-property=AccuracySec=100ms systemctl restart vsockbox-agent.service",
  );
  // It runs, since it has started this.
  expect(lines("systemd", "unchanged", true, true)).toEqual([[], []]);
});

test("the others", () => {
  expect(lines("openrc", "installed", true, false)[1]).toEqual([
    "rc-service vsockbox-agent restart",
  ]);
  expect(lines("openrc", "removed", true, false)[0]).toEqual([
    "rc-service --ifstarted vsockbox-agent stop",
  ]);
  expect(lines("busybox", "installed", true, false)[1]).toEqual(["kill -HUP 1"]);
  for (const service of ["openrc", "busybox", "none"] as const) {
    expect(lines(service, "installed", false, false)).toEqual([[], []]);
  }
});
