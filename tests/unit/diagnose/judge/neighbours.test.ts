import { describe, expect, test } from "bun:test";
import { judgeNeighbours } from "../../../../src/diagnose/judge/neighbours.ts";
import type { NeighbourFacts } from "../../../../src/diagnose/facts/system-facts.ts";
import { VsockboxError } from "../../../../src/errors.ts";
import { holder } from "../../../support/doctor-facts.ts";

const PROFILES = { path: "/c.yaml", names: [], badTokenFiles: [] };
const judge = (facts: Partial<NeighbourFacts>) =>
  judgeNeighbours({
    sockets: [],
    listeners: new Map(),
    refusing: new Set(),
    profiles: PROFILES,
    ...facts,
  });

describe("a socket", () => {
  const path = "/run/a b.vsock";
  const socket = (listeners: NeighbourFacts["listeners"]) =>
    judge({ sockets: [path], listeners })[0];

  test("has a VMM", () => {
    expect(socket(new Map([[path, holder("/usr/bin/firecracker --id 1")]]))).toMatchObject({
      severity: "ok",
      code: "hybrid-socket",
      message: "hybrid:/run/a b.vsock: Firecracker (pid 71) listens",
    });
    expect(socket(new Map([[path, undefined]]))).toMatchObject({
      severity: "ok",
      message: expect.stringContaining("a process of another user listens"),
    });
  });

  test("is stale", () => {
    const facts = { sockets: [path], listeners: new Map([["/run/other", undefined]]) };
    expect(judge({ ...facts, refusing: new Set([path]) })[0]).toMatchObject({
      severity: "warning",
      code: "socket-stale",
      fix: "rm -- '/run/a b.vsock'",
    });
  });

  test("whose listener is not found, as in a chroot, is not called stale", () => {
    const [finding] = judge({ sockets: [path], refusing: new Set(["/run/other"]) });
    expect(finding).toMatchObject({ severity: "ok", code: "hybrid-socket" });
    expect(finding?.fix).toBeUndefined();
  });

  test("has a VMM that is stopped", () => {
    expect(socket(new Map([[path, holder("cloud-hypervisor", true)]]))).toMatchObject({
      severity: "warning",
      code: "peer-stopped",
      message: expect.stringContaining("Cloud Hypervisor (pid 71) is stopped"),
      fix: "kill -CONT 71",
    });
  });
});

describe("the profiles", () => {
  test("are counted", () => {
    expect(judge({})).toMatchObject([{ severity: "ok", message: "/c.yaml has no profiles" }]);
    expect(judge({ profiles: { ...PROFILES, names: ["a", "b"] } })).toMatchObject([
      { message: "/c.yaml has 2 profiles (a, b)" },
    ]);
  });

  test("cannot be read", () => {
    const error = new VsockboxError({
      code: "CONFIG",
      operation: "read",
      message: "bad",
      hint: "h",
    });
    expect(judge({ profiles: { path: "/c", error } })).toMatchObject([
      {
        severity: "error",
        code: "profiles-invalid",
        failure: "CONFIG",
        message: "cannot read: bad",
        hint: "h",
      },
    ]);
  });

  test("have token files that others can read, that are others', or that do not exist", () => {
    const bad = { profile: "web", path: "/t k", isForeign: false };
    const problem = { message: "open", hint: "how" };
    const badTokenFiles = [
      { ...bad, problem },
      { ...bad, problem, isForeign: true },
      { ...bad, problem: undefined },
    ];
    expect(judge({ profiles: { ...PROFILES, badTokenFiles } }).slice(1)).toMatchObject([
      {
        severity: "warning",
        code: "token-file",
        message: "token file /t k of profile web: open",
        fix: "chmod 600 '/t k'",
        hint: "how",
      },
      { fix: undefined, hint: "how" },
      {
        message: "token file /t k of profile web: no such file",
        fix: undefined,
        hint: expect.stringContaining("0600"),
      },
    ]);
  });
});
