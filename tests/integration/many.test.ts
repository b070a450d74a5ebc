/** Several guests at once: exec with commas, and vms. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { ScratchDirectory, TestAgent, vsockbox } from "../support/binary.ts";

let one: TestAgent;
let two: TestAgent;
let scratch: ScratchDirectory;
const env = () => ({ XDG_CONFIG_HOME: scratch.path });
beforeAll(async () => {
  [one, two] = await Promise.all([TestAgent.start(), TestAgent.start()]);
  scratch = new ScratchDirectory();
  mkdirSync(scratch.file("vsockbox"));
  writeFileSync(
    scratch.file("vsockbox/config.yaml"),
    `vms:\n  one:\n    address: ${one.address}\n  second:\n    address: ${two.address}\n  gone:\n    address: unix:/nowhere.sock\n`,
  );
});
afterAll(async () => {
  await Promise.all([one[Symbol.asyncDispose](), two[Symbol.asyncDispose]()]);
  scratch[Symbol.dispose]();
});

const lines = (text: string) => text.split("\n").filter((line) => line !== "");

describe("exec in several guests", () => {
  test("prefixes each line with its target, and prints a summary", async () => {
    const command = ["sh", "-c", "echo out; printf unfinished; echo err >&2"];
    const result = await vsockbox(["exec", "one,second", "--", ...command], { env: env() });
    expect(result.status).toBe(0);
    expect(lines(result.stdout).sort()).toEqual([
      "one    | out",
      "one    | unfinished",
      "second | out",
      "second | unfinished",
    ]);
    expect(lines(result.stderr).sort()).toEqual([
      "one    | err",
      "second | err",
      "vsockbox: 2 guests, 0 failed",
    ]);
  });

  test("a guest that is down does not keep the others from it; the largest status counts", async () => {
    const result = await vsockbox(
      ["exec", "one,gone,second", "--", "sh", "-c", "echo hi; exit 3"],
      {
        env: env(),
      },
    );
    expect(result.status).toBe(69);
    expect(lines(result.stdout).sort()).toEqual(["one    | hi", "second | hi"]);
    expect(result.stderr).toContain(
      "3 guests, 3 failed\n  one: status 3\n  gone: cannot connect to unix:/nowhere.sock",
    );
  });

  test("--json has the guest in every line", async () => {
    const result = await vsockbox(["exec", "--json", "one,second", "--", "echo", "hi"], {
      env: env(),
    });
    const events = lines(result.stdout).map((line) => JSON.parse(line) as Record<string, unknown>);
    for (const target of ["one", "second"]) {
      expect(events.filter((event) => event["target"] === target)).toMatchObject([
        { event: "stdout", text: "hi\n" },
        { event: "exit", exit_code: 0 },
      ]);
    }
  });

  test("lines of several guests never run into each other", async () => {
    const result = await vsockbox(["exec", "one,second", "--", "sh", "-c", "seq 1 20000"], {
      env: env(),
    });
    const seen = lines(result.stdout);
    expect(seen.length).toBe(40_000);
    expect(seen.every((line) => /^(one {4}|second )\| \d+$/.test(line))).toBe(true);
  });

  test("--timeout ends all of them", async () => {
    const result = await vsockbox(
      ["exec", "--timeout", "0.5", "one,second", "--", "sleep", "60.5"],
      {
        env: env(),
      },
    );
    expect(result.status).toBe(124);
    expect(result.stderr.match(/it ran longer than --timeout/g)).toHaveLength(2);
  });

  test("--detach starts it in each, and reports each", async () => {
    const args = ["exec", "-d", "one,second", "--name", "both", "--", "sleep", "60.75"];
    const { status, stdout, stderr } = await vsockbox(args, { env: env() });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "vsockbox: 2 guests, 0 failed\n" });
    expect(lines(stdout)).toEqual([
      expect.stringMatching(/^one {4}\| [0-9a-f]{8}$/),
      expect.stringMatching(/^second \| [0-9a-f]{8}$/),
    ]);
    for (const [index, target] of [one, two].entries()) {
      const { stdout: list } = await vsockbox(["ps", "--json", target.address]);
      expect(list).toContain(lines(stdout)[index]?.split("| ")[1] ?? "no id");
      expect((await vsockbox(["kill", "--remove", target.address, "both"])).status).toBe(0);
    }
  });

  test("--detach goes on after a guest that is down, and has the largest status", async () => {
    const args = ["exec", "-d", "--json", "one,gone,second", "--", "true"];
    const { status, stdout, stderr } = await vsockbox(args, { env: env() });
    expect(status).toBe(69);
    expect(stderr).toContain("vsockbox: gone: cannot connect to unix:/nowhere.sock");
    expect(lines(stdout).map((line) => JSON.parse(line) as unknown)).toEqual([
      { target: "one", id: expect.any(String), pid: expect.any(Number) },
      { target: "gone", error: expect.objectContaining({ code: "UNAVAILABLE" }) },
      { target: "second", id: expect.any(String), pid: expect.any(Number) },
    ]);
  });

  test.each([
    [["exec", "one,", "--", "true"], "empty target"],
    [["exec", "-t", "one,second", "--", "true"], "single target"],
  ])("refuses %j", async (args, message) => {
    const result = await vsockbox(args, { env: env() });
    expect(result).toMatchObject({ status: 64, stderr: expect.stringContaining(message) });
  });
});

describe("vms", () => {
  test("lists the profiles with their state", async () => {
    const { status, stdout } = await vsockbox(["vms"], { env: env() });
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /^NAME +ADDRESS +STATE +DETAIL\none +unix:.* +ready +vsockbox 0\.1\.0\nsecond +unix:.* +ready .*\ngone +unix:\/nowhere\.sock +down +ENOENT\n$/,
    );
    const json = await vsockbox(["vms", "--json"], { env: env() });
    expect(lines(json.stdout).map((line) => (JSON.parse(line) as { state: string }).state)).toEqual(
      ["ready", "ready", "down"],
    );
  });

  test("names the file for targets if there are none", async () => {
    const result = await vsockbox(["vms"], { env: { XDG_CONFIG_HOME: "/nowhere" } });
    expect(result).toMatchObject({
      status: 0,
      stderr: expect.stringContaining("/nowhere/vsockbox"),
    });
  });
});
