import { expect, test } from "bun:test";
import {
  isServiceGroup,
  managerCommands,
  runManager,
} from "../../../src/install/service-manager.ts";

const lines = (...words: Parameters<typeof managerCommands>) => {
  const { before, after } = managerCommands(...words);
  return [before, after].map((list) => list.map((command) => command.join(" ")));
};

test("systemd is notified of the unit, and starts it only on request", () => {
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

test.each([
  ["in place", "the files are in place; run `false && echo later` after the cause is removed"],
  ["removed", "the files are removed; run `false && echo later` after the cause is removed"],
  ["not removed", "the files are not removed; run it again after the cause is removed"],
] as const)("the commands after a failed one remain to be run: files %s", (files, hint) => {
  const run = () => runManager([["true"], ["false"], ["echo", "later"]], files);
  expect(run).toThrow(expect.objectContaining({ code: "UNAVAILABLE", address: "`false`", hint }));
});

test("the service's control group, and others whose names begin or end like it", () => {
  expect(isServiceGroup("0::/system.slice/vsockbox-agent.service\n")).toBe(true);
  expect(isServiceGroup("0::/system.slice/vsockbox-agent.service/below\n")).toBe(true);
  expect(isServiceGroup("0::/openrc.vsockbox-agent\n")).toBe(true);
  expect(isServiceGroup("2:pids:/\n1:name=openrc:/vsockbox-agent\n")).toBe(true);
  expect(isServiceGroup("0::/system.slice/vsockbox-agent-update.service\n")).toBe(false);
  expect(isServiceGroup("0::/machine.slice/my-vsockbox-agent\n")).toBe(false);
});
