/** Several targets in one word, the target that is set once and for all, and users before targets. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { ScratchDirectory, TestAgent, vsockbox } from "../support/binary.ts";

let one: TestAgent;
let two: TestAgent;
let scratch: ScratchDirectory;
beforeAll(async () => {
  [one, two] = await Promise.all([TestAgent.start(), TestAgent.start()]);
  scratch = new ScratchDirectory();
  for (const name of ["profiles", "default", "there", "there/sub"]) mkdirSync(scratch.file(name));
  const vms = `vms:\n  one:\n    address: ${one.address}\n  two:\n    address: ${two.address}\n  gone:\n    address: unix:/nowhere.sock\n`;
  for (const [name, text] of [
    ["profiles", vms],
    ["default", `default: two\n${vms}`],
  ] as const) {
    mkdirSync(scratch.file(`${name}/vsockbox`));
    writeFileSync(scratch.file(`${name}/vsockbox/config.yaml`), text);
  }
});
afterAll(async () => {
  await Promise.all([one[Symbol.asyncDispose](), two[Symbol.asyncDispose]()]);
  scratch[Symbol.dispose]();
});

const profiles = (name = "profiles") => ({ XDG_CONFIG_HOME: scratch.file(name) });
const run = (args: readonly string[], env = {}, stdin = "") =>
  vsockbox(args, { env: { ...profiles(), VSOCKBOX_TARGET: undefined, ...env }, stdin });
const lines = (text: string) => text.split("\n").filter((line) => line !== "");
const objects = (text: string) => lines(text).map((line) => JSON.parse(line) as object);

describe("several targets", () => {
  test("of info are shown one after the other, and the failed one is reported", async () => {
    const { status, stdout, stderr } = await run(["info", "one,gone,two"]);
    expect(status).toBe(69);
    expect(
      lines(stdout)
        .filter((line) => !line.startsWith("  "))
        .toSorted(),
    ).toEqual(["one:", "two:"]);
    expect(stdout.match(/^ {2}agent {5}vsockbox /gm)).toHaveLength(2);
    expect(stderr).toContain("vsockbox: gone: cannot connect to unix:/nowhere.sock");
    expect(stderr).toEndWith("vsockbox: 3 guests, 1 failed\n");
    const json = await run(["info", "--json", "one,gone"]);
    expect(objects(json.stdout)).toEqual(
      expect.arrayContaining([
        { target: "one", info: expect.objectContaining({ version: expect.any(String) }) },
        { target: "gone", error: expect.objectContaining({ code: "UNAVAILABLE" }) },
      ]),
    );
  });

  test("of ping have their names in every line", async () => {
    const args = ["ping", "--count", "2", "--interval", "0"];
    const { status, stdout, stderr } = await run([...args, "one,two"]);
    expect([status, stderr]).toEqual([0, "vsockbox: 2 guests, 0 failed\n"]);
    for (const name of ["one", "two"]) {
      const own = lines(stdout).filter((line) => line.startsWith(`${name}: `));
      expect(own).toEqual([
        expect.stringMatching(/: 1: [\d.]+ ms/),
        expect.stringMatching(/: 2: [\d.]+ ms/),
        expect.stringMatching(/: 2 round trips: /),
      ]);
    }
    const json = await run([...args, "--json", "one,gone"]);
    expect(json.status).toBe(69);
    expect(objects(json.stdout)).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ target: "one", number: 1 }),
        expect.objectContaining({ target: "one", summary: expect.anything() }),
        expect.objectContaining({ target: "gone", error: expect.anything() }),
      ]),
    );
  });

  test("of wait are all waited for", async () => {
    const ready = await run(["wait", "--json", "one,two"]);
    expect(ready.status).toBe(0);
    expect(objects(ready.stdout)).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ target: "one", ready: true }),
        expect.objectContaining({ target: "two", ready: true }),
      ]),
    );
    const late = await run(["wait", "--timeout", "0.3", "one,gone"]);
    expect(late.status).toBe(75);
    expect(late.stderr).toContain("vsockbox: gone: cannot reach unix:/nowhere.sock: not ready");
    expect(late.stderr).toEndWith("vsockbox: 2 guests, 1 failed\n");
  });

  test("of cp get a copy each, and a failed one does not keep the others from it", async () => {
    const file = scratch.file("file");
    writeFileSync(file, "content");
    const there = scratch.file("there/copy");
    const { status, stderr } = await run(["cp", file, `gone,two:${there}`]);
    expect(status).toBe(69);
    expect(readFileSync(there, "utf8")).toBe("content");
    expect(stderr).toContain("vsockbox: gone: cannot connect to unix:/nowhere.sock");
    expect(stderr).toEndWith("vsockbox: 2 guests, 1 failed\n");
    const json = await run(["cp", "--json", file, `one,two:${there}`]);
    expect(json.status).toBe(0);
    expect(objects(json.stdout)).toMatchObject([
      { target: "one", files: 1 },
      { target: "two", files: 1 },
    ]);
    const input = await run(["cp", "-", `one,two:${there}`], {}, "x");
    expect(input).toMatchObject({ status: 64, stderr: expect.stringContaining("one guest only") });
  });

  test.each([["info"], ["ping"], ["wait"]])("of %s may not be empty", async (command) => {
    expect(await run([command, "one,"])).toMatchObject({
      status: 64,
      stderr: expect.stringContaining('"one," has an empty target'),
    });
  });
});

/** The settings that name a target, and the one that a message shows. */
const SETTINGS: [name: string, env: () => Record<string, string>, origin: () => string][] = [
  ["VSOCKBOX_TARGET", () => ({ VSOCKBOX_TARGET: "two" }), () => "VSOCKBOX_TARGET"],
  [
    "default of the profiles",
    () => profiles("default"),
    () => `\`default\` of ${scratch.file("default/vsockbox/config.yaml")}`,
  ],
];

describe.each(SETTINGS)("without a target, %s", (_, env, origin) => {
  const usual = (args: readonly string[]) => run(args, env());

  test("is used by exec, ps, logs, info, ping and wait", async () => {
    expect(await usual(["exec", "--", "echo", "-n", "hi"])).toMatchObject({ stdout: "hi" });
    expect(await usual(["exec", "-c", "echo line"])).toMatchObject({ stdout: "line\n" });
    const started = await usual(["exec", "-d", "--", "echo", "logged"]);
    const id = started.stdout.trim();
    expect((await usual(["ps"])).stdout).toContain(id);
    expect(await usual(["logs", "--follow", id])).toMatchObject({ stdout: "logged\n" });
    // It is in that guest, and in no other.
    expect((await run(["ps", "two"])).stdout).toContain(id);
    expect((await run(["ps", "one"])).stdout).not.toContain(id);
    for (const args of [["info"], ["ping", "--count", "1"], ["wait"]]) {
      expect([args, (await usual(args)).status]).toEqual([args, 0]);
    }
  });

  test("is used by paths that begin with a colon, and by ls alone", async () => {
    writeFileSync(scratch.file("there/sub/a"), "a\n");
    const path = `:${scratch.file("there/sub")}`;
    expect(await usual(["ls", path])).toMatchObject({ status: 0, stdout: "a\n" });
    expect(await usual(["cat", `${path}/a`])).toMatchObject({ stdout: "a\n" });
    expect(await usual(["cp", "-q", `${path}/a`, `${path}/b`])).toMatchObject({ status: 0 });
    expect(existsSync(scratch.file("there/sub/b"))).toBe(true);
    expect(await usual(["rm", `${path}/b`])).toMatchObject({ status: 0 });
    expect(await usual(["ls"])).toMatchObject({ status: 0 });
  });

  test("is named by --verbose, and a target of the command line is not", async () => {
    const own = await usual(["exec", "-v", "--", "true"]);
    expect(own.stderr).toContain(` ms: the target is two, from ${origin()}\n`);
    expect(own.stderr).toContain(`connecting to ${two.address}`);
    const given = await usual(["exec", "-v", "one", "--", "true"]);
    expect(given.stderr).not.toContain("the target is");
    expect(given.stderr).toContain(`connecting to ${one.address}`);
  });

  test("yields to a target after --, and is not used to end anything", async () => {
    expect((await usual(["exec", "-v", "--", "one", "true"])).stderr).toContain(one.address);
    expect(await usual(["kill", "3"])).toMatchObject({
      status: 64,
      stderr: expect.stringContaining("ID is missing"),
    });
    expect(await usual(["shutdown"])).toMatchObject({
      status: 64,
      stderr: expect.stringContaining("TARGET is missing"),
    });
  });
});

test("the variable wins over the profiles, and without both the target is missing", async () => {
  const both = { ...profiles("default"), VSOCKBOX_TARGET: "one" };
  expect((await run(["exec", "-v", "--", "true"], both)).stderr).toContain("from VSOCKBOX_TARGET");
  for (const args of [
    ["exec", "--", "ls"],
    ["ps"],
    ["info"],
    ["shell"],
    ["forward", "-L", "1:x:1"],
  ]) {
    const { status, stderr } = await run(args);
    expect([args, status, stderr.split("\n")[0]]).toEqual([
      args,
      64,
      `vsockbox: ${args[0]}: TARGET is missing`,
    ]);
  }
  expect(await run(["ls"])).toMatchObject({ status: 64 });
  expect(await run(["ls", ":/etc"])).toMatchObject({
    status: 64,
    stderr: expect.stringContaining("does not name a guest"),
  });
});

describe("a user before the target", () => {
  test.skipIf(process.getuid?.() !== 0)("is --user", async () => {
    expect(await run(["exec", "nobody@one", "--", "id", "-un"])).toMatchObject({
      status: 0,
      stdout: "nobody\n",
    });
    const several = await run(["exec", "nobody@one,nobody@two", "--", "id", "-un"]);
    expect(lines(several.stdout).toSorted()).toEqual(["one | nobody", "two | nobody"]);
  });

  test("that differs from another one is refused", async () => {
    expect(await run(["exec", "--user", "root", "nobody@one", "--", "id"])).toMatchObject({
      status: 64,
      stderr: expect.stringContaining("exec: the user is both nobody and root"),
    });
    expect(await run(["exec", "nobody@one,two", "--", "id"])).toMatchObject({
      status: 64,
      stderr: expect.stringContaining("different users"),
    });
  });
});
