import { describe, expect, test } from "bun:test";
import { judgeConnection } from "../../../../src/diagnose/judge/connection.ts";
import type { SocketFile } from "../../../../src/diagnose/target/target-facts.ts";
import {
  agentTarget,
  failedTarget,
  holder,
  HYBRID,
  vsockTarget,
} from "../../../support/doctor-facts.ts";

const last = (facts: Parameters<typeof judgeConnection>[0], uid = 0) =>
  judgeConnection(facts, uid).at(-1);
const codes = (facts: Parameters<typeof judgeConnection>[0]) =>
  judgeConnection(facts, 0).map(({ severity, code }) => `${severity} ${code}`);

describe("the steps that worked", () => {
  test("of a Unix socket", () => {
    expect(judgeConnection(agentTarget(), 0).map(({ message }) => message)).toEqual([
      "unix:/run/a.sock",
      "/run/a.sock: vsockbox agent (pid 71) listens",
      "/run/a.sock has accepted the connection",
    ]);
    const unknown = agentTarget({}, { listener: undefined, written: "web" });
    expect(
      judgeConnection(unknown, 0)
        .map(({ message }) => message)
        .slice(0, 2),
    ).toEqual([
      "web is unix:/run/a.sock",
      "/run/a.sock: a process that this user may not examine listens",
    ]);
  });

  test("of a hybrid socket, up to the one that failed", () => {
    expect(codes(agentTarget({}, HYBRID))).toEqual([
      "ok address",
      "ok socket",
      "ok connection",
      "ok guest-connection",
    ]);
    expect(codes(failedTarget("connect", { errno: "ECONNREFUSED" }, HYBRID))).toEqual([
      "ok address",
      "error socket-stale",
    ]);
    expect(codes(failedTarget("guest", {}, HYBRID))).toEqual([
      "ok address",
      "ok socket",
      "ok connection",
      "error guest-port-closed",
    ]);
    expect(codes(failedTarget("greet", { code: "TIMEOUT" }, HYBRID))).toEqual([
      "ok address",
      "ok socket",
      "ok connection",
      "ok guest-connection",
      "error peer-silent",
    ]);
  });

  test("of AF_VSOCK", () => {
    const findings = judgeConnection(agentTarget({}, vsockTarget(3)), 0);
    expect(findings.map(({ message }) => message)).toEqual([
      "3 is vsock:3:5000",
      "CID 3, port 5000, has accepted the connection",
    ]);
  });
});

describe("the socket's file", () => {
  const withFile = (file: SocketFile, changes = {}) =>
    failedTarget("connect", {}, { file, ...changes });

  test("is missing: an agent would make it, and a VMM", () => {
    expect(last(withFile({ state: "missing", hasDirectory: true }))).toMatchObject({
      severity: "error",
      code: "socket-missing",
      failure: "UNAVAILABLE",
      message: "/run/a.sock does not exist",
      fix: "vsockbox agent --listen unix:/run/a.sock",
    });
    expect(last(withFile({ state: "missing", hasDirectory: false }, HYBRID))).toMatchObject({
      message: "/run/v.sock does not exist, nor does its directory",
      fix: undefined,
      hint: expect.stringContaining("vsockbox doctor"),
    });
  });

  test("is in a directory of others", () => {
    expect(last(withFile({ state: "denied" }), 1000)).toMatchObject({
      code: "socket-denied",
      failure: "REFUSED",
      message: "user 1000 may not enter the directory of /run/a.sock",
      fix: "sudo vsockbox doctor unix:/run/a.sock",
    });
  });

  test("is not a socket", () => {
    expect(last(withFile({ state: "other", kind: "a directory" }))).toMatchObject({
      code: "not-a-socket",
      failure: "UNAVAILABLE",
      message: "/run/a.sock leads to a directory, not to a socket",
    });
  });
});

describe("connect(2) on a Unix socket", () => {
  test("is refused: the file is left over", () => {
    expect(last(failedTarget("connect", { errno: "ECONNREFUSED" }))).toMatchObject({
      code: "socket-stale",
      failure: "UNAVAILABLE",
      fix: "vsockbox agent --listen unix:/run/a.sock",
      hint: undefined,
    });
    expect(last(failedTarget("connect", { errno: "ECONNREFUSED" }, HYBRID))).toMatchObject({
      fix: "rm -- /run/v.sock",
      hint: "then start the VM again",
    });
  });

  test.each(["EACCES", "EPERM"])("fails with %s", (errno) => {
    expect(last(failedTarget("connect", { errno }), 1000)).toMatchObject({
      code: "socket-denied",
      failure: "REFUSED",
      fix: "sudo vsockbox doctor unix:/run/a.sock",
    });
  });

  test("leads to another user's process", () => {
    const failure = { kind: "owner", uid: 123 } as const;
    expect(
      last(failedTarget("connect", { code: "REFUSED", message: "user 123" }, { failure })),
    ).toMatchObject({
      code: "socket-owner",
      failure: "REFUSED",
      fix: "vsockbox doctor unix:/run/a.sock --allow-socket-owner 123",
    });
  });

  test("fails in another way: with the error's own code and hint", () => {
    const thrown = { code: "IO", message: "odd", hint: "h" } as const;
    expect(last(failedTarget("connect", thrown))).toMatchObject({
      code: "connection-failed",
      failure: "IO",
      message: "cannot connect: odd",
      hint: "h",
    });
  });

  test("does not end: the backlog of a stopped process is full", () => {
    const listener = holder("vsockbox agent", true);
    expect(last(failedTarget("connect", { code: "TIMEOUT" }, { listener }))).toMatchObject({
      code: "peer-stopped",
      fix: "kill -CONT 71",
    });
  });
});

describe("connect(2) on AF_VSOCK", () => {
  test("finds no VM", () => {
    expect(last(failedTarget("connect", { errno: "ENODEV" }, vsockTarget(77)))).toMatchObject({
      code: "cid-unknown",
      failure: "UNAVAILABLE",
      message: "no VM has CID 77",
      hint: expect.stringContaining("guest-cid=77"),
    });
  });

  test.each(["ECONNRESET", "ECONNREFUSED"])("%s: no listener on the port", (errno) => {
    expect(last(failedTarget("connect", { errno }, vsockTarget(3, 6000)))).toMatchObject({
      code: "port-closed",
      failure: "UNAVAILABLE",
      message: "no process listens on port 6000 at CID 3",
      fix: undefined,
      hint: expect.stringContaining("vsockbox wait"),
    });
    expect(last(failedTarget("connect", { errno }, vsockTarget(1)))).toMatchObject({
      code: "port-closed",
      fix: "vsockbox agent --allow-local",
    });
    const agentAt = vsockTarget(3).address;
    expect(
      last(failedTarget("connect", { errno }, { ...vsockTarget(3, 6000), agentAt })),
    ).toMatchObject({
      code: "port-wrong",
      failure: "UNAVAILABLE",
      message: "no process listens on port 6000, but an agent answers at vsock:3:5000",
      fix: "vsockbox doctor vsock:3:5000",
    });
  });

  test("gets no answer in time", () => {
    for (const thrown of [{ code: "TIMEOUT" }, { errno: "ETIMEDOUT" }] as const) {
      expect(last(failedTarget("connect", thrown, vsockTarget(3)))).toMatchObject({
        code: "peer-silent",
      });
    }
  });

  test("fails in another way", () => {
    expect(last(failedTarget("connect", { errno: "EINVAL" }, vsockTarget(3)))).toMatchObject({
      code: "connection-failed",
    });
  });
});

describe("the VMM's answer", () => {
  test("has no listener in the guest", () => {
    expect(last(failedTarget("guest", {}, HYBRID))).toMatchObject({
      code: "guest-port-closed",
      failure: "UNAVAILABLE",
      message: expect.stringContaining("port 6000"),
    });
    const agentAt = { kind: "hybrid", path: "/run/v.sock", port: 5000 } as const;
    expect(last(failedTarget("guest", {}, { ...HYBRID, agentAt }))).toMatchObject({
      code: "port-wrong",
      fix: "vsockbox doctor hybrid:/run/v.sock:5000",
    });
  });

  test("does not come, since the VMM is stopped", () => {
    const listener = holder("firecracker", true);
    expect(last(failedTarget("guest", { code: "TIMEOUT" }, { ...HYBRID, listener }))).toMatchObject(
      {
        code: "peer-stopped",
        failure: "TIMEOUT",
        message: "Firecracker (pid 71) is stopped",
      },
    );
  });

  test("is another service's", () => {
    const failure = { kind: "service", service: "agent" } as const;
    expect(last(failedTarget("guest", { code: "BAD_DATA" }, { ...HYBRID, failure }))).toMatchObject(
      {
        code: "service-wrong",
        failure: "BAD_DATA",
        fix: "vsockbox doctor unix:/run/v.sock",
      },
    );
    expect(last(failedTarget("guest", { code: "BAD_DATA" }, HYBRID))).toMatchObject({
      code: "connection-failed",
      failure: "BAD_DATA",
    });
  });
});

test.each([{}, HYBRID])("the socket of a device for its VMM has no other form: %p", (changes) => {
  const facts = failedTarget(
    "greet",
    {},
    { ...changes, isVhostUser: true, failure: { kind: "silent-close" } },
  );
  const found = judgeConnection(facts, 0).at(-1);
  expect(found).toMatchObject({ severity: "error", code: "service-wrong", fix: undefined });
  expect(found?.message).toEndWith("is the vhost-user socket of a device for its VMM");
  // The connection itself comes first.
  const refused = failedTarget(
    "connect",
    { errno: "ECONNREFUSED" },
    { ...changes, isVhostUser: true },
  );
  expect(judgeConnection(refused, 0).at(-1)?.code).toBe("socket-stale");
});
