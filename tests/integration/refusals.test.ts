/** An agent that refuses a connection is named in the error. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { Running, ScratchDirectory, TestAgent, vsockbox } from "../support/binary.ts";

let scratch: ScratchDirectory;
let agent: TestAgent;
beforeAll(async () => {
  scratch = new ScratchDirectory();
  const tokenFile = scratch.file("token");
  writeFileSync(tokenFile, "secret-of-this-test", { mode: 0o600 });
  agent = await TestAgent.start(["--token-file", tokenFile]);
});
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
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
      `${scratch.file("here")}:localhost:1`,
    ]);
    await running.says("forwarding");
    const socket = connect(scratch.file("here"));
    socket.on("error", () => undefined);
    await running.says(`${agent.address}: connection refused: the token is missing`);
    socket.destroy();
  });
});

test("an agent above --max-sessions is named", async () => {
  await using small = await TestAgent.start(["--max-sessions", "1"]);
  // The only session is taken once its command has written: before that, this client could be refused.
  const words = ["exec", small.address, "-n", "--", "sh", "-c", "echo served >&2; exec sleep 1000"];
  await using first = new Running(words);
  await first.says("served");
  const { status, stderr } = await vsockbox(["exec", small.address, "-n", "--", "true"]);
  expect(stderr).toContain(`${small.address}: connection refused: `);
  expect(status).toBe(77);
  first.process.kill();
});
