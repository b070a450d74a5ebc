import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { VsockboxError } from "../../../../src/errors.ts";
import {
  ALL_OPTIONS,
  needsSandboxKernel,
  parseSandbox,
  SANDBOX_FLAGS,
} from "../../../../src/process/sandbox/sandbox-options.ts";
import { StartError } from "../../../../src/start-error.ts";
import { Environment } from "../../../../src/process/environment.ts";
import {
  decodeStartError,
  encodeStartError,
  handOver,
} from "../../../../src/process/start-instructions.ts";
import { resolveSpawn } from "../../../../src/process/spawn.ts";
import { RUN_AS_WORD } from "../../../../src/process/run-as-word.ts";

describe("parseSandbox", () => {
  test.each([
    ["no-new-privs", ["no-new-privs"]],
    ["drop-caps", ["drop-caps"]],
    ["protect-kernel", ["protect-kernel"]],
    ["pid-namespace", ["protect-kernel", "pid-namespace"]],
    ["user-namespace", ["protect-kernel", "pid-namespace", "user-namespace"]],
    ["seccomp", ["seccomp"]],
    ["no-network", ["seccomp", "no-network"]],
  ] as const)("%s is %j", (word, options) => {
    expect(parseSandbox([word])).toEqual([...options]);
  });

  test("returns a list in its own order, each option once", () => {
    expect(parseSandbox(["seccomp", "no-new-privs", "seccomp"])).toEqual([
      "no-new-privs",
      "seccomp",
    ]);
  });

  test("no words result in no options", () => {
    expect(parseSandbox([])).toEqual([]);
  });

  test("all is all but no-network, also beside others", () => {
    expect(ALL_OPTIONS).toEqual(SANDBOX_FLAGS.filter((flag) => flag !== "no-network"));
    expect(parseSandbox(["all"])).toEqual([...ALL_OPTIONS]);
    expect(parseSandbox(["seccomp", "all"])).toEqual([...ALL_OPTIONS]);
    expect(parseSandbox(["all", "no-network"])).toEqual([...SANDBOX_FLAGS]);
  });

  test("what all was before is all that it is now", () => {
    const before = ["no-new-privs", "drop-caps", "pid-namespace", "seccomp"];
    expect(parseSandbox(before)).toEqual([...ALL_OPTIONS]);
    expect(parseSandbox(before.slice(1))).not.toContain("user-namespace");
    expect(needsSandboxKernel(before)).toBe(false);
    for (const word of ["protect-kernel", "user-namespace", "no-network", "processes=3"]) {
      expect(needsSandboxKernel(["seccomp", word])).toBe(true);
    }
  });

  test("is the same when it is read again", () => {
    const once = parseSandbox(["all", "no-network", "memory=64M", "processes=3"]);
    expect(parseSandbox(once)).toEqual(once);
  });

  test("the limits come last, of each the lowest, with sizes in bytes", () => {
    const words = ["file-size=1G", "memory=64m", "processes=7", "open-files=64", "seccomp"];
    expect(parseSandbox([...words, "processes=3", "memory=1G"])).toEqual([
      "seccomp",
      "processes=3",
      "memory=67108864",
      "open-files=64",
      "file-size=1073741824",
    ]);
  });

  test.each([
    ...[
      "processes=",
      "processes=0",
      "processes=-1",
      "processes=1K",
      "processes=1.5",
      "processes=x",
    ],
    ...["memory=0", "memory=1T", "memory=1K1", "memory=999999999999999G", "processes=1=2"],
  ])("refuses %j", (word) => {
    expect(() => parseSandbox([word])).toThrow(JSON.stringify(word));
  });

  test.each([
    "",
    "secomp",
    "ALL",
    "none",
    "seccomp,drop-caps",
    "seccomp=1",
    "cores=3",
    "processes",
  ])("refuses %j and names the right words", (word) => {
    const parse = () => parseSandbox(["seccomp", word]);
    expect(parse).toThrow(VsockboxError);
    try {
      parse();
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: "USAGE", exitStatus: 64 });
      for (const option of [...SANDBOX_FLAGS, "processes=N", "memory=N", "all"]) {
        expect((thrown as VsockboxError).hint).toContain(option);
      }
    }
  });
});

describe("handOver", () => {
  test("starts this program, apart from the command's environment and arguments", () => {
    const env = Environment.fromRecord({ PATH: "/usr/bin:/bin", X: "1" });
    const argv = ["true", Uint8Array.of(0xff)] as const;
    const handover = handOver(resolveSpawn({ argv, env, sandbox: ["seccomp"] }));
    const text = readFileSync(`/proc/self/fd/${handover.descriptors[0]}`, "utf8");
    handover.closeChildEnds();
    expect(handover.argv[0]).toBe("/proc/self/exe");
    expect(handover.argv.at(-1)).toBe(RUN_AS_WORD);
    expect(handover.env).toEqual({ VSOCKBOX_RUN_AS: "3,4" });
    expect(JSON.parse(text)).toMatchObject({
      program: expect.stringContaining("/true"),
      argv: ["true", "\xff"],
      settings: ["PATH=/usr/bin:/bin", "X=1"],
      sandbox: ["seccomp"],
      terminal: null,
    });
  });

  test("a report is read as it was written, and any other as a failed helper", () => {
    const error = new StartError({
      kind: "sandbox_failed",
      stage: "sandbox",
      operation: "make a namespace",
      message: "no",
      errno: "EPERM",
    });
    expect(decodeStartError(encodeStartError(error)).toJSON()).toEqual(error.toJSON());
    for (const text of ["", "{", "[]", "null", '{"kind":1,"stage":"x"}']) {
      expect(decodeStartError(text)).toMatchObject({ kind: "resources", stage: "process" });
    }
  });
});
