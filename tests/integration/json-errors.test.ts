/** With `--json` an error is one JSON object on standard output, and text on standard error. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { expectShape, shapeOf } from "../support/json-shapes.ts";
import { shell, TestAgent } from "../support/binary.ts";

let agent: TestAgent;
beforeAll(async () => {
  agent = await TestAgent.start();
});
afterAll(() => agent[Symbol.asyncDispose]());

/** Runs a line in which $A is an agent's address and $N one at which nothing listens. */
const run = (line: string) =>
  shell(`vsockbox ${line}`, { env: { A: agent.address, N: `${agent.address}-none` } });

const events = (stdout: string) =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe("an error is printed once as JSON by", () => {
  test.each([
    ["kill --json $A none", "CONFIG"],
    ["logs --json $A none", "CONFIG"],
    ["stat --json $A:/none", "IO"],
    ["ls --json $A:/none", "IO"],
    ["rm --json $A:/none/none", "IO"],
    ["cp --json $A:/none /tmp/never", "IO"],
    ["exec --json $N -- true", "UNAVAILABLE"],
    ["exec -d --json $N -- true", "UNAVAILABLE"],
    ["info --json $N", "UNAVAILABLE"],
    ["ps --json $N", "UNAVAILABLE"],
    ["ping --json $N", "UNAVAILABLE"],
    ["wait --json --timeout 10ms $N", "TIMEOUT"],
    ["forward --json $N -L 0:localhost:1", "UNAVAILABLE"],
    ["shell-client --json $N true", "UNAVAILABLE"],
    ["shell-client --json $N -d /a:b", "UNAVAILABLE"],
    ["guest-exec --json $N", "UNAVAILABLE"],
    ["cid --json", "REFUSED"],
    ["install --json --root /none", "IO"],
    ["forward --json $N", "USAGE"],
    ["kill --json", "USAGE"],
    ["info --json --no-such-option $N", "USAGE"],
    ["exec -d --json $A no-such-program", "NOT_STARTED"],
  ])("%s", async (line, code) => {
    const { stdout, stderr, status } = await run(line);
    const [{ error } = {}, ...others] = events(stdout);
    expectShape({ error }, shapeOf("Errors"));
    expect(error).toMatchObject({ code });
    expect(others).toEqual([]);
    expect(status).not.toBe(0);
    expect(stderr).toContain(String(Reflect.get(Object(error), "message")).split("\n")[0] ?? "");
  });

  test("each of several operands, in the order of the operands", async () => {
    const line = `stat --json $A:/n1 $A:/ $A:/n2`;
    expect(events((await run(line)).stdout).map((object) => Object.keys(object)[0])).toEqual([
      "error",
      "path",
      "error",
    ]);
  });

  test("each of several operands that all fail", async () => {
    for (const line of ["kill --json $A a b", "rm --json $N:/x $N:/y", "ls --json $A:/n1 $A:/n2"]) {
      const found = events((await run(line)).stdout).map((object) => Object.keys(object)[0]);
      expect({ line, found }).toEqual({ line, found: ["error", "error"] });
    }
  });
});

test("the JSON of an error has the hint for the command line", async () => {
  const { stdout, stderr } = await run("exec --json $N -- true");
  const [{ error } = {}] = events(stdout);
  expect(Reflect.get(Object(error), "hint") === null).toBe(!stderr.includes("hint: "));
});

test("without --json nothing is printed on standard output", async () => {
  expect((await run("kill $A none")).stdout).toBe("");
  expect((await run("kill $A -- --json")).stdout).toBe("");
  // That of a remote command is not an option of this one.
  expect(await run("exec $N jq --json")).toMatchObject({ status: 69, stdout: "" });
});
