/** Paths of a guest: relative ones, and those that begin with a tilde. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { parsePasswd, systemUsers } from "../../src/process/users.ts";
import { encodeJsonFrame, FrameType } from "../../src/protocols/agent/frame.ts";
import { ScratchDirectory, TestAgent, vsockbox } from "../support/binary.ts";
import { hostileAgent, sendHostileFile } from "../support/hostile-agent.ts";

/** This process's entry of passwd(5). */
const user = parsePasswd(systemUsers().passwd).find(({ uid }) => uid === process.geteuid?.());
const { name: username, home: homedir } = user ?? { name: "root", home: "/root" };

let agent: TestAgent;
let scratch: ScratchDirectory;
beforeAll(async () => {
  scratch = new ScratchDirectory();
  mkdirSync(scratch.file("here"));
  mkdirSync(scratch.file("cwd"));
  agent = await TestAgent.start([], { cwd: scratch.file("cwd") });
});
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

/** From the home directory up to the root, and down again. */
const fromHome = (path: string) =>
  `/${"../".repeat(homedir.split("/").length - 1)}${path.slice(1)}`;

describe("a tilde", () => {
  test.each(["~", `~${username}`, "~/", `~${username}/.`])(
    "%j is the home directory",
    async (path) => {
      const { stdout, status } = await vsockbox(["stat", "--json", `${agent.address}:${path}`]);
      const plain = await vsockbox(["stat", "--json", `${agent.address}:${homedir}`]);
      expect(status).toBe(0);
      const { inode } = JSON.parse(plain.stdout) as { inode: number };
      expect(JSON.parse(stdout)).toMatchObject({ type: "directory", inode });
    },
  );

  test("works in every command", async () => {
    const file = scratch.file("file");
    writeFileSync(file, "content");
    const at = (path: string) => `${agent.address}:~${fromHome(path)}`;
    expect((await vsockbox(["cat", at(file)])).stdout).toBe("content");
    expect((await vsockbox(["ls", at(scratch.file("here"))])).status).toBe(0);
    expect((await vsockbox(["cp", at(file), at(scratch.file("up"))])).status).toBe(0);
    expect(
      (await vsockbox(["cp", at(`${scratch.file("")}/u?`), scratch.file("here")])).status,
    ).toBe(0);
    expect(readdirSync(scratch.file("here"))).toEqual(["up"]);
    expect((await vsockbox(["mv", at(scratch.file("up")), at(scratch.file("moved"))])).status).toBe(
      0,
    );
    expect(existsSync(scratch.file("moved"))).toBe(true);
    expect((await vsockbox(["mkdir", at(scratch.file("made"))])).status).toBe(0);
    expect(
      (await vsockbox(["rm", "-r", at(scratch.file("made")), at(scratch.file("moved"))])).status,
    ).toBe(0);
    expect([existsSync(scratch.file("made")), existsSync(scratch.file("moved"))]).toEqual([
      false,
      false,
    ]);
  });

  test("of a user that does not exist is an error, and the home has no name for a copy", async () => {
    expect(await vsockbox(["ls", `${agent.address}:~no-such-user/x`])).toMatchObject({
      status: 78,
      stderr: expect.stringContaining("no such user"),
    });
    for (const path of ["~", "~/", `~${username}`]) {
      const result = await vsockbox(["cp", "-r", `${agent.address}:${path}`, scratch.file("here")]);
      expect(result).toMatchObject({
        status: 64,
        stderr: expect.stringContaining("has no name that the copy could get"),
      });
    }
  });

  test("after ./ is a character of a name, and T: is the agent's working directory", async () => {
    expect((await vsockbox(["cp", "-", `${agent.address}:./~x`], { stdin: "tilde" })).status).toBe(
      0,
    );
    expect(readFileSync(scratch.file("cwd/~x"), "utf8")).toBe("tilde");
    expect((await vsockbox(["ls", `${agent.address}:`])).stdout).toBe("~x\n");
    expect((await vsockbox(["cat", `${agent.address}:./~x`])).stdout).toBe("tilde");
  });
});

describe("an agent that answers something else", () => {
  const path = () => scratch.file("hostile.sock");

  test.each(["relative", "", 7, "/a\0b", null])("home %j is refused", async (home) => {
    using _agent = hostileAgent(path(), (channel) => channel.finish({ home }));
    expect(await vsockbox(["stat", `unix:${path()}:~/x`])).toMatchObject({
      status: 65,
      stderr: expect.stringContaining("not an absolute path"),
    });
  });

  test("wildcards in the name of a home directory match only themselves", async () => {
    const patterns: unknown[] = [];
    using _agent = hostileAgent(path(), async (channel, request) => {
      if (request["op"] === "home") return channel.finish({ home: "/[x]/*" });
      if (request["op"] === "glob") {
        patterns.push(request["pattern"]);
        await channel.sendRecord({ path: "/x/y/.bashrc" });
      } else await sendHostileFile(channel, ".bashrc");
      channel.end();
      channel.finish();
    });
    const result = await vsockbox(["cp", `unix:${path()}:~/*`, scratch.file("here")]);
    expect(result.status).toBe(65);
    expect(patterns).toEqual([String.raw`/\[x]/\*/*`]);
  });

  test("one with the Go agent's frames does not know home directories", async () => {
    using _agent = hostileAgent(path(), () => undefined, {
      onOldFrame: () => encodeJsonFrame(FrameType.FileResult, {}),
    });
    for (const words of [
      ["ls", "T:~"],
      ["cat", "T:~/x"],
      ["cp", "T:~/x", scratch.file("here")],
    ]) {
      const args = words.map((word) => word.replace(/^T/, `unix:${path()}`));
      expect(await vsockbox(args)).toMatchObject({
        status: 69,
        stderr: expect.stringContaining("does not know home directories"),
      });
    }
  });
});
