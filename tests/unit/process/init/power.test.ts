import { describe, expect, test } from "bun:test";
import { constants } from "node:os";
import { EXIT_STATUS, VsockboxError } from "../../../../src/errors.ts";
import { RebootCommand } from "../../../../src/ffi/power.ts";
import {
  countProcesses,
  endMachine,
  type PowerSystem,
} from "../../../../src/process/init/power.ts";

const { SIGCONT, SIGKILL, SIGTERM } = constants.signals;
const EPERM = 1;
const EBUSY = 16;

/** A machine that only writes down what it is told. */
function pretend(changes: Partial<PowerSystem> = {}) {
  const calls: string[] = [];
  const system: PowerSystem = {
    pid: 1,
    signalEverything: (signal) => void calls.push(`signal ${signal}`),
    countProcesses: () => 0,
    sync: () => void calls.push("sync"),
    remountReadOnly: () => {
      calls.push("remount");
      return 0;
    },
    reboot: (command) => {
      calls.push(`reboot ${command.toString(16)}`);
      return 0;
    },
    ...changes,
  };
  return { calls, system };
}

describe("powering off", () => {
  test("is refused to any process but PID 1, before anything is done", async () => {
    const { calls, system } = pretend({ pid: 4711 });
    for (const action of ["poweroff", "reboot", "halt"] as const) {
      const error = await endMachine(action, { system }).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(VsockboxError);
      expect(error).toMatchObject({ code: "REFUSED", exitStatus: EXIT_STATUS.REFUSED });
    }
    expect(calls).toEqual([]);
  });

  test("performs its steps in order", async () => {
    const { calls, system } = pretend();
    await endMachine("poweroff", { system });
    expect(calls).toEqual([
      `signal ${SIGTERM}`,
      `signal ${SIGCONT}`,
      `signal ${SIGKILL}`,
      "sync",
      "remount",
      "reboot 4321fedc",
    ]);
  });

  test("has the kernel's numbers", () => {
    expect(RebootCommand.reboot).toBe(0x0123_4567);
    expect(RebootCommand.halt | 0).toBe(-0x3210_fedd);
  });

  test("waits for processes up to its limit, and reports failures", async () => {
    const warnings: string[] = [];
    const { calls, system } = pretend({
      countProcesses: () => 2,
      remountReadOnly: () => EBUSY,
      reboot: () => EPERM,
    });
    const ending = endMachine("reboot", {
      system,
      graceMs: 100,
      warn: (message) => warnings.push(message),
    });
    expect(ending).rejects.toMatchObject({ code: "REFUSED", errno: "EPERM" });
    await ending.catch(() => undefined);
    expect(calls).toContain(`signal ${SIGKILL}`);
    expect(warnings).toEqual([
      "2 processes do not end",
      "cannot remount / read-only: device or resource busy (EBUSY)",
    ]);
  });

  test("warns about a single process that does not end", async () => {
    const warnings: string[] = [];
    const { system } = pretend({ countProcesses: () => 1 });
    await endMachine("halt", { system, graceMs: 10, warn: (message) => warnings.push(message) });
    expect(warnings).toEqual(["1 process does not end"]);
  });

  test("continues if processes cannot be counted", async () => {
    const { calls, system } = pretend({ countProcesses: () => undefined });
    await endMachine("halt", { system, graceMs: 10 });
    expect(calls.at(-1)).toBe("reboot cdef0123");
  });

  test("counts processes beside this one", async () => {
    const before = countProcesses() ?? 0;
    const child = Bun.spawn(["sleep", "10"]);
    expect(countProcesses()).toBeGreaterThan(0);
    child.kill();
    await child.exited;
    expect(before).toBeGreaterThan(0);
  });
});
