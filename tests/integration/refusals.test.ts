/** An agent that refuses a connection is named in the error. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { eventually, Running, TemporaryFolder, TestAgent, vsockbox } from "../support/binary.ts";

let folder: TemporaryFolder;
let agent: TestAgent;
beforeAll(async () => {
  folder = new TemporaryFolder();
  const tokenFile = folder.file("token");
  writeFileSync(tokenFile, "secret-of-this-test", { mode: 0o600 });
  agent = await TestAgent.start(["--token-file", tokenFile]);
});
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

describe("an agent that wants a token is named by", () => {
  test.each([
    "exec $A -- true",
    "exec -d $A -- true",
    "info $A",
    "ps $A",
    "ls $A:/",
    "cp /etc/hosts $A:/tmp/never",
  ])("%s", async (line) => {
    const args = line.replace("$A", agent.address).split(" ");
    const { status, stderr } = await vsockbox(args);
    expect(stderr).toContain(`${agent.address}: connection refused: the token is missing`);
    expect(status).toBe(77);
  });

  test("forward -L", async () => {
    await using running = new Running([
      "forward",
      agent.address,
      "--lazy",
      "-L",
      `${folder.file("here")}:localhost:1`,
    ]);
    await running.says("forwarding");
    const socket = connect(folder.file("here"));
    socket.on("error", () => undefined);
    await running.says(`${agent.address}: connection refused: this agent expects a token`);
    socket.destroy();
  });
});

test("an agent above --max-sessions is named", async () => {
  await using small = await TestAgent.start(["--max-sessions", "1"]);
  await using first = new Running(["exec", small.address, "-n", "--", "sleep", "1000"]);
  await eventually("the second is refused", async () => {
    const { status, stderr } = await vsockbox(["exec", small.address, "-n", "--", "true"]);
    return status === 77 && stderr.includes(`${small.address}: connection refused: `);
  });
  first.process.kill();
});
