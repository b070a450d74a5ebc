import { describe, expect, test } from "bun:test";
import { VsockboxError } from "../../../src/errors.ts";
import { parseSandbox, SANDBOX_OPTIONS } from "../../../src/process/sandbox.ts";
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

describe("resolveSpawn", () => {
  const request = { argv: ["true"] as [string], env: { PATH: "/usr/bin:/bin", X: "1" } };

  test("starts a command without a sandbox directly", () => {
    const { argv, options } = resolveSpawn({ ...request, sandbox: [] });
    expect(argv[0]).toEndWith("/true");
    expect(options.env).toEqual(request.env);
  });

  test("starts one with a sandbox through this program, away from the command's environment", () => {
    const { argv, options } = resolveSpawn({ ...request, sandbox: ["seccomp"] });
    expect(argv[0]).toBe(process.execPath);
    expect(argv.slice(-2)).toEqual([RUN_AS_WORD, expect.stringContaining("/true")]);
    expect(Object.keys(options.env)).toEqual(["VSOCKBOX_RUN_AS"]);
    expect(JSON.parse(options.env["VSOCKBOX_RUN_AS"] ?? "")).toMatchObject({
      env: request.env,
      sandbox: ["seccomp"],
      terminal: null,
    });
  });
});
