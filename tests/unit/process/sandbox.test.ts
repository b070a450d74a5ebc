import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { VsockboxError } from "../../../src/errors.ts";
import { parseSandbox, SANDBOX_OPTIONS } from "../../../src/process/sandbox.ts";
import { StartError } from "../../../src/start-error.ts";
import { Environment } from "../../../src/process/environment.ts";
import { decodeReport, encodeReport, handOver } from "../../../src/process/handover.ts";
import { resolveSpawn } from "../../../src/process/spawn.ts";
import { RUN_AS_WORD } from "../../../src/process/run-as-word.ts";

describe("parseSandbox", () => {
  test("reads each option", () => {
    for (const option of SANDBOX_OPTIONS) expect(parseSandbox([option])).toEqual([option]);
  });

  test("gives a list in its own order, each option once", () => {
    expect(parseSandbox(["seccomp", "no-new-privs", "seccomp"])).toEqual([
      "no-new-privs",
      "seccomp",
    ]);
  });

  test("no words are no options", () => {
    expect(parseSandbox([])).toEqual([]);
  });

  test("all is all, also beside others", () => {
    expect(parseSandbox(["all"])).toEqual([...SANDBOX_OPTIONS]);
    expect(parseSandbox(["seccomp", "all"])).toEqual([...SANDBOX_OPTIONS]);
  });

  test.each(["", "secomp", "ALL", "none", "seccomp,drop-caps"])(
    "refuses %j and names the right words",
    (word) => {
      const parse = () => parseSandbox(["seccomp", word]);
      expect(parse).toThrow(VsockboxError);
      try {
        parse();
      } catch (thrown) {
        expect(thrown).toMatchObject({ code: "USAGE", exitStatus: 64 });
        for (const option of [...SANDBOX_OPTIONS, "all"]) {
          expect((thrown as VsockboxError).hint).toContain(option);
        }
      }
    },
  );
});

describe("handOver", () => {
  test("starts this program, apart from the command's environment and arguments", () => {
    const env = Environment.fromRecord({ PATH: "/usr/bin:/bin", X: "1" });
    const argv = ["true", Uint8Array.of(0xff)] as const;
    const handover = handOver(resolveSpawn({ argv, env, sandbox: ["seccomp"] }));
    const text = readFileSync(`/proc/self/fd/${handover.descriptors[0]}`, "utf8");
    handover.closeChildEnds();
    expect(handover.argv[0]).toBe(process.execPath);
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
    expect(decodeReport(encodeReport(error)).toJSON()).toEqual(error.toJSON());
    for (const text of ["", "{", "[]", "null", '{"kind":1,"stage":"x"}']) {
      expect(decodeReport(text)).toMatchObject({ kind: "resources", stage: "process" });
    }
  });
});
