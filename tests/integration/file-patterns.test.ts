/** Patterns of `cat`, `ls` and `stat`, which the guest expands by the rules of `cp`. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { ScratchDirectory, TestAgent, vsockbox } from "../support/binary.ts";
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

const path = (name: string) => scratch.file(`t/${name}`);
const at = (name: string) => `${agent.address}:${path(name)}`;

beforeEach(() => {
  rmSync(scratch.file("t"), { recursive: true, force: true });
  mkdirSync(path("d1"), { recursive: true });
  mkdirSync(path("d2"));
  for (const name of ["a.log", "b.log", ".c.log", "d1/x", "[z]"]) {
    writeFileSync(path(name), `${name}\n`);
  }
});

describe("cat", () => {
  test("prints the files that match, in their order, hidden ones only if they are meant", async () => {
    expect(await vsockbox(["cat", at("*.log")])).toMatchObject({ stdout: "a.log\nb.log\n" });
    expect(await vsockbox(["cat", at(".*.log")])).toMatchObject({ stdout: ".c.log\n" });
    expect(await vsockbox(["cat", at("[!a].l?g")])).toMatchObject({ stdout: "b.log\n" });
    expect(await vsockbox(["cat", at("[z]")])).toMatchObject({ status: 0, stdout: "[z]\n" });
  });

  test("reports a match that cannot be read, and prints the others", async () => {
    const result = await vsockbox(["cat", at("[ad]*")]);
    expect(result).toMatchObject({ status: 64, stdout: "a.log\n" });
    expect(result.stderr.match(/it is a directory/g)).toHaveLength(2);
  });

  test("has one limit for all matches", async () => {
    const result = await vsockbox(["cat", "--max-size", "10", at("*.log")]);
    expect(result).toMatchObject({ status: 74, stdout: "a.log\n" });
    expect(result.stderr).toContain("EFBIG");
  });
});

describe("ls", () => {
  test("lists files first, then each directory under its name", async () => {
    const { status, stdout } = await vsockbox(["ls", at("[a-d]*")]);
    expect(status).toBe(0);
    expect(stdout).toBe(`${path("a.log")}\n${path("b.log")}\n\n${at("d1")}:\nx\n\n${at("d2")}:\n`);
  });

  test("lists the content of a single match", async () => {
    expect(await vsockbox(["ls", at("?1")])).toEqual({ status: 0, stdout: "x\n", stderr: "" });
  });

  test("has the match as the path of a JSON object", async () => {
    const { stdout } = await vsockbox(["ls", "--json", at("[bd]*")]);
    const lines = stdout.split("\n").filter((line) => line !== "");
    expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
      { name: path("b.log"), path: at("b.log") },
      { name: "x", path: at("d1") },
    ]);
  });
});

test("stat shows each match", async () => {
  const { status, stdout } = await vsockbox(["stat", "--json", at("*.log")]);
  expect(status).toBe(0);
  const lines = stdout.split("\n").filter((line) => line !== "");
  expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
    { path: at("a.log") },
    { path: at("b.log") },
  ]);
});

describe.each(["cat", "ls", "stat"])("%s", (command) => {
  test("of a pattern without a match is an error", async () => {
    expect(await vsockbox([command, at("*.none")])).toEqual({
      status: 74,
      stdout: "",
      stderr: `vsockbox: cannot find ${at("*.none")}: nothing matches the pattern (ENOENT)\n`,
    });
  });

  test("refuses a path that the pattern does not match", async () => {
    const socket = scratch.file("hostile.sock");
    using _hostile = hostileAgent(socket, async (channel, request) => {
      if (request["op"] === "glob") await channel.sendRecord({ path: "/etc/shadow" });
      channel.finish({});
    });
    expect(await vsockbox([command, `unix:${socket}:/srv/*.log`])).toMatchObject({
      status: 65,
      stdout: "",
      stderr: expect.stringContaining("a file that was not asked for"),
    });
    rmSync(socket, { force: true });
  });
});

test("rm and mkdir have no patterns", async () => {
  expect(await vsockbox(["rm", at("*.log")])).toMatchObject({ status: 74 });
  expect(await vsockbox(["mkdir", at("*.new")])).toMatchObject({ status: 0 });
  expect(await vsockbox(["stat", at("a.log")])).toMatchObject({ status: 0 });
});
