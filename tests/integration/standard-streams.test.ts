/** Standard input and output that are closed, or that nothing can be read from. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { shell, TestAgent } from "../support/binary.ts";

let agent: TestAgent;
beforeAll(async () => {
  agent = await TestAgent.start();
});
afterAll(() => agent[Symbol.asyncDispose]());

/** Runs a line in which $A is the agent's address. */
const run = (line: string) => shell(line, { env: { A: agent.address } });

describe("a standard input that is a directory", () => {
  test.each([
    `vsockbox cp - "$A:${"$PWD"}/never" < /`,
    'vsockbox exec "$A" -- cat < /',
    'vsockbox connect "$A" < /',
  ])("ends %j with the reason", async (line) => {
    expect(await run(line)).toMatchObject({
      status: 74,
      stdout: "",
      stderr: expect.stringContaining("read standard input: is a directory (EISDIR)\n"),
    });
  });
});

test("cp names the errno of a file system without temporary files as the kernel does", async () => {
  const result = await run('vsockbox cp /etc/hosts "$A:/proc/x"');
  expect(result.status).toBe(74);
  expect(result.stderr).toContain("no such file or directory (ENOENT)");
});
