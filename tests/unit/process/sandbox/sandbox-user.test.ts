import { describe, expect, test } from "bun:test";
import {
  type SystemFacts,
  ownerOf,
  SANDBOX_USERS,
  sandboxForUser,
} from "../../../../src/process/sandbox/sandbox-user.ts";
import { parseSandbox } from "../../../../src/process/sandbox/sandbox-options.ts";

const machine = (changes: Partial<SystemFacts> = {}): SystemFacts => ({
  hasNamespace: () => true,
  executableMode: () => 0o755,
  ...changes,
});
const all = parseSandbox(["all"]);

describe("sandboxForUser", () => {
  test("keeps the user namespace for root alone", () => {
    expect(sandboxForUser(all, 0, machine())).toEqual(all);
    expect(sandboxForUser(all, 1000, machine())).toEqual(
      all.filter((option) => option !== "user-namespace"),
    );
  });

  test("needs nothing of the system without options", () => {
    const absent = machine({ hasNamespace: () => false, executableMode: () => undefined });
    expect(sandboxForUser([], 0, absent)).toEqual([]);
  });

  test.each([
    ["all", { executableMode: () => undefined }, "needs /proc"],
    ["seccomp", { executableMode: () => undefined }, "needs /proc"],
    ["all", { hasNamespace: (name: string) => name !== "user" }, "needs a user namespace"],
    ["all", { executableMode: () => 0o754 }, "may not execute"],
    ["no-network", { hasNamespace: (name: string) => name !== "net" }, "network namespaces"],
    ["processes=3", {}, "does not limit the processes of root"],
  ])("refuses %s of root if it is not possible: %#", (words, changes, reason) => {
    expect(() => sandboxForUser(parseSandbox([words]), 0, machine(changes))).toThrow(reason);
  });

  test.each([
    ["all", { hasNamespace: (name: string) => name !== "user", executableMode: () => 0o100_754 }],
    ["processes=3", {}],
  ])("refuses no %s of another user for that", (words, changes) => {
    const options = parseSandbox([words]);
    expect(sandboxForUser(options, 1000, machine(changes)).length).toBeGreaterThan(0);
  });

  test("accepts a limit of processes of a root in a user namespace, and other limits of any user", () => {
    const options = parseSandbox(["user-namespace", "processes=3"]);
    expect(sandboxForUser(options, 0, machine())).toEqual(options);
    expect(sandboxForUser(["memory=5"], 0, machine())).toEqual(["memory=5"]);
  });
});

test("ownerOf returns the user of the command on the host", () => {
  const user = { uid: 1000, gid: 100 };
  expect(ownerOf(["seccomp"], undefined)).toBeUndefined();
  expect(ownerOf(["seccomp"], user)).toBe(user);
  // The last block of systemd's range for containers, 524288 to 1879048191.
  expect(ownerOf(all, undefined)).toEqual({ uid: 1_878_982_656, gid: 1_878_982_656 });
  expect(SANDBOX_USERS.first + SANDBOX_USERS.count - 1).toBe(1_879_048_191);
});
