import { expect, test } from "bun:test";
import { ScratchDirectory } from "../../support/scratch-directory.ts";
import { failures } from "../../support/steps.ts";

test("the output of a failed test is repeated, and nothing else", () => {
  const output = [
    "a.test.ts:",
    "noise of one that passes",
    "(pass) one [1.00ms]",
    "error: expected 1",
    "  at a.test.ts:3",
    "(fail) two [2.00ms]",
    "(pass) three",
    "",
    "1 tests failed:",
    "(fail) two [2.00ms]",
    " 2 pass",
  ].join("\n");
  expect(failures(output)).toBe(
    "\n--- failed:\nerror: expected 1\n  at a.test.ts:3\n(fail) two [2.00ms]\n",
  );
});

test("an output without failed tests has no result", () => {
  expect(failures("error: no such file\n")).toBe("");
});

test("failures are repeated if the caller wants colours, and for files that cannot be loaded", async () => {
  using scratch = new ScratchDirectory();
  const files = ["a", "b"].map((name) => scratch.file(`${name}.test.ts`));
  await Bun.write(files[0] ?? "", 'import "./not-there.ts";');
  await Bun.write(files[1] ?? "", "test('it', () => expect('red').toBe('blue'));");
  const steps = [{ name: "both", command: ["bun", "test", ...files], echo: true }];
  const module = require.resolve("../../support/steps.ts");
  const script = `(await import(${JSON.stringify(module)})).runSteps(${JSON.stringify(steps)})`;
  const { stdout, exitCode } = Bun.spawnSync([process.execPath, "-e", script], {
    env: { ...process.env, FORCE_COLOR: "1" },
  });
  expect(exitCode).toBe(1);
  const again = stdout.toString().split("--- failed:\n")[1];
  expect(again).toMatch(/Cannot find module '.\/not-there.ts'[^]*Expected: "blue"[^]*\(fail\) it/);
});
