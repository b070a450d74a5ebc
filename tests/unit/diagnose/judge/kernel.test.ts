import { describe, expect, test } from "bun:test";
import type { KernelVersion } from "../../../../src/diagnose/facts/kernel.ts";
import type { VsockFacts } from "../../../../src/diagnose/facts/system-facts.ts";
import { judgeKernel as judge } from "../../../../src/diagnose/judge/kernel.ts";
import { loadable, MISSING, system, withModules } from "../../../support/doctor-facts.ts";

const judgeKernel = (facts: VsockFacts) => judge(facts, {});
const codes = (facts: VsockFacts) =>
  judgeKernel(facts).map(({ severity, code }) => `${severity} ${code}`);

describe("AF_VSOCK", () => {
  test("is loaded, or built in", () => {
    expect(judgeKernel(system())).toMatchObject([
      {
        severity: "ok",
        code: "kernel",
        message: "Linux 6.1.0-9-amd64 has AF_VSOCK: the module vsock is loaded",
      },
    ]);
    expect(judgeKernel(withModules({ vsock: { state: "built-in", load: [] } }))).toMatchObject([
      { severity: "ok", message: "Linux 6.1.0-9-amd64 has AF_VSOCK built in" },
    ]);
  });

  test("can be loaded, by root or with sudo", () => {
    const vsock = { state: "loadable", load: ["insmod a.ko", "insmod b.ko"] } as const;
    expect(judgeKernel(withModules({ vsock }))).toMatchObject([
      {
        severity: "error",
        code: "vsock-not-loaded",
        failure: "UNAVAILABLE",
        fix: "insmod a.ko && insmod b.ko",
      },
    ]);
    expect(judgeKernel(withModules({ vsock }, { uid: 1000 }))).toMatchObject([
      { fix: "sudo insmod a.ko && sudo insmod b.ko" },
    ]);
    expect(judge(withModules({ vsock }), { fix: "modprobe vsock_loopback" })).toMatchObject([
      { code: "vsock-not-loaded", fix: "modprobe vsock_loopback" },
    ]);
  });

  test("is a module that is not installed, or does not exist", () => {
    expect(judgeKernel(withModules({ vsock: MISSING }))).toMatchObject([
      {
        severity: "error",
        code: "vsock-not-loaded",
        failure: "UNAVAILABLE",
        fix: undefined,
        hint: expect.stringContaining("/lib/modules/6.1.0-9-amd64"),
      },
    ]);
    expect(judgeKernel(withModules({ vsock: { state: "absent", load: [] } }))).toMatchObject([
      {
        severity: "error",
        code: "kernel-without-vsock",
        failure: "UNAVAILABLE",
        hint: expect.stringContaining("CONFIG_VSOCKETS"),
      },
    ]);
  });

  test("is switched off: the first finding, before what the kernel has", () => {
    const findings = judgeKernel(withModules({ vsock: loadable("vsock") }, { switchedOff: "yes" }));
    expect(findings).toMatchObject([
      {
        severity: "error",
        code: "vsock-disabled",
        failure: "REFUSED",
        message: "AF_VSOCK is switched off by VSOCKBOX_NO_VSOCK=yes",
        fix: "unset VSOCKBOX_NO_VSOCK",
      },
      { code: "vsock-not-loaded" },
    ]);
  });
});

describe("the version", () => {
  const of = (...version: KernelVersion) =>
    codes(system({ kernel: { release: "x", version, config: undefined } })).slice(1);
  const [defect, habit, lack] = [
    "warning kernel-defect",
    "info kernel-defect",
    "info kernel-lacks",
  ];

  test.each([
    [[6, 6, 78], [defect]],
    [[6, 6, 79], []],
    [[6, 5, 999], []],
    [[6, 12, 0], [defect]],
    [[6, 12, 15], [defect]],
    [[6, 12, 16], []],
    [[6, 12, 91], []],
    [[6, 12, 92], [habit]],
    [[6, 12, 500], [habit]],
    [[6, 13, 0], []],
    [[7, 0, 99], []],
    [[7, 1, 0], [habit]],
    [[8, 0, 0], [habit]],
    [[5, 14, 0], []],
    [[5, 13, 9], [lack]],
    [[5, 11, 0], [lack]],
    [
      [5, 10, 0],
      [lack, lack],
    ],
    [
      [5, 5, 0],
      [lack, lack, lack],
    ],
    [
      [4, 8, 0],
      [lack, lack, lack],
    ],
    [
      [4, 7, 0],
      [lack, lack, lack, lack],
    ],
  ] as [KernelVersion, string[]][])("%p", (version, expected) => {
    expect(of(...version)).toEqual(expected);
  });

  test("names the version that has the missing feature", () => {
    const kernel = { release: "5.13.1", version: [5, 13, 1], config: undefined } as const;
    expect(judgeKernel(system({ kernel }))[1]).toMatchObject({
      message: expect.stringContaining("SEQPACKET"),
      hint: "Linux 5.14 and later have it",
    });
  });

  test("is not judged if the release has another form", () => {
    expect(
      codes(system({ kernel: { release: "x", version: undefined, config: undefined } })),
    ).toEqual(["ok kernel"]);
  });
});
