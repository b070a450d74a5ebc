/** A terminal that is closed while a question is on it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { ScratchDirectory, TestAgent } from "../support/binary.ts";
import { OwnTerminal } from "../support/own-terminal.ts";

let scratch: ScratchDirectory;
let agent: TestAgent;
beforeAll(async () => {
  scratch = new ScratchDirectory();
  agent = await TestAgent.start();
});
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

/** Starts `rm -i`, waits for its question, and closes the terminal. */
async function askAndHangUp(path: string): Promise<Bun.Subprocess> {
  writeFileSync(path, "");
  await using terminal = new OwnTerminal();
  const run = terminal.run(["rm", "-i", `${agent.address}:${path}`]);
  await terminal.shows("Remove");
  return run;
}

test("ends the command, which has removed nothing", async () => {
  const path = scratch.file("kept");
  const run = await askAndHangUp(path);
  expect(await run.exited).toBe(130);
  expect(await Bun.file(path).exists()).toBe(true);
});

test("does not keep SIGHUP from ending it", async () => {
  const run = await askAndHangUp(scratch.file("hup"));
  run.kill("SIGHUP");
  // Whichever it has noticed first.
  expect(await run.exited).toBeOneOf([129, 130]);
});
