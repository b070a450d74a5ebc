/** What commands print: all of it or an error, and nothing that a terminal obeys. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { VsockboxError } from "../../src/errors.ts";
import { foreignOperation } from "../../src/operations.ts";
import { shell, ScratchDirectory, TestAgent, vsockbox } from "../support/binary.ts";
import { hostileAgent } from "../support/hostile-agent.ts";

let agent: TestAgent;
let scratch: ScratchDirectory;
beforeAll(async () => {
  agent = await TestAgent.start();
  scratch = new ScratchDirectory();
});
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

test.each(["ls T:/", "ls --json T:/", "info T", "stat T:/"])(
  "%p on a full disk is an error",
  async (command) => {
    const line = `vsockbox ${command.replace("T", agent.address)} > /dev/full`;
    const { status, stderr } = await shell(line);
    expect({ status, stderr }).toEqual({
      status: 74,
      stderr: "vsockbox: cannot write to standard output: no space left on device (ENOSPC)\n",
    });
  },
);

test("a reader that closes early is not an error", async () => {
  expect((await shell(`vsockbox ls ${agent.address}:/ | head -1`)).stderr).toBe("");
});

test("an agent's words have no control characters left", async () => {
  const path = scratch.file("hostile.sock");
  const words = "\u001B]0;title\u0007\u009B31m";
  using _agent = hostileAgent(path, (channel, request) => {
    if (request["op"] === "sessions") {
      const session = { id: words, pid: 1, state: words, command: words, startedMs: 0 };
      return channel.finish({ sessions: [session] });
    }
    channel.fail(
      new VsockboxError({
        code: "IO",
        operation: foreignOperation(words),
        message: words,
        hint: words,
      }),
    );
  });
  for (const args of [
    ["ps", `unix:${path}`],
    ["stat", `unix:${path}:/`],
  ]) {
    const { stdout, stderr } = await vsockbox(args);
    const said = stdout + stderr;
    expect(said).toContain("title");
    // oxlint-disable-next-line no-control-regex
    expect(said).not.toMatch(/[\u0007\u001B\u0080-\u009F]/);
  }
});
