/** Commands with several operands: they go on, report each failure, and exit with the first one's status. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { COMMANDS } from "../../src/commands/index.ts";
import { eventually, ScratchDirectory, TestAgent, shell, vsockbox } from "../support/binary.ts";

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

const at = (name: string) => `${agent.address}:${scratch.file(`t/${name}`)}`;
/** No agent listens there. */
const nowhere = (name: string) => `unix:${scratch.file("none.sock")}:/${name}`;
const there = () => readdirSync(scratch.file("t")).sort();

beforeEach(() => {
  rmSync(scratch.file("t"), { recursive: true, force: true });
  mkdirSync(scratch.file("t/d"), { recursive: true });
  for (const name of ["a", "b"]) writeFileSync(scratch.file(`t/${name}`), `${name}\n`);
});

const reports = (stderr: string) => stderr.match(/^vsockbox: .*$/gm) ?? [];

describe("what fails first decides the status, and the others are done", () => {
  const IO = 74;
  const UNAVAILABLE = 69;

  test.each([
    ["none", [() => at("none"), () => nowhere("x")], IO],
    ["nowhere", [() => nowhere("x"), () => at("none"), () => nowhere("y")], UNAVAILABLE],
  ] as const)("%s", async (_, failing, status) => {
    const bad = failing.map((word) => word());
    for (const [command, ...options] of [["cat"], ["stat"], ["ls"], ["rm"], ["cp"]] as const) {
      const last = command === "cp" ? [scratch.file("t/d")] : [];
      const args = [command, ...options, at("a"), ...bad, at("b"), ...last];
      const result = await vsockbox(args);
      expect({ args, ...result }).toMatchObject({ status });
      expect(reports(result.stderr)).toHaveLength(bad.length);
      if (command === "cat") expect(result.stdout).toBe("a\nb\n");
      if (command === "stat") expect(result.stdout).toMatch(/t\/a\n[^]*t\/b\n/);
      if (command === "rm") {
        expect(there()).toEqual(["d"]);
        for (const name of ["a", "b"]) writeFileSync(scratch.file(`t/${name}`), `${name}\n`);
      }
      if (command === "cp") expect(readdirSync(scratch.file("t/d")).sort()).toEqual(["a", "b"]);
    }
  });

  test("cp: a pattern without a match, errors in JSON, and one source alone", async () => {
    const args = ["cp", at("a"), at("none*"), at("b"), scratch.file("t/d")];
    const result = await vsockbox(args);
    expect(result).toMatchObject({ status: 74 });
    expect(reports(result.stderr)).toEqual([
      expect.stringContaining("nothing matches the pattern"),
    ]);
    expect(readdirSync(scratch.file("t/d")).sort()).toEqual(["a", "b"]);
    const json = await vsockbox([...args, "--json"]);
    expect(JSON.parse(json.stdout)).toMatchObject({ files: 2, error_count: 1 });
    expect(json.status).toBe(74);
    expect(await vsockbox(["cp", at("none*"), scratch.file("t/d")])).toMatchObject({ status: 74 });
    const refused = await vsockbox(["cp", nowhere("x"), scratch.file("t/d")]);
    expect([refused.status, reports(refused.stderr).length]).toEqual([69, 1]);
  });

  test("rm -i asks nothing without a terminal, and removes nothing", async () => {
    const refused = await vsockbox(["rm", "-i", at("a")], { stdin: "y\n" });
    expect(refused).toMatchObject({
      status: 64,
      stdout: "",
      stderr: expect.stringContaining("--interactive needs a terminal"),
    });
    expect(await vsockbox(["rm", "-if", at("a")])).toMatchObject({ status: 64 });
    expect(there()).toEqual(["a", "b", "d"]);
  });

  test("rm -R and cp -R are rm -r and cp -r", async () => {
    mkdirSync(scratch.file("t/d/e"));
    expect(await vsockbox(["cp", "-R", at("d"), scratch.file("t/copy")])).toMatchObject({
      status: 0,
    });
    expect(readdirSync(scratch.file("t/copy"))).toEqual(["e"]);
    expect(await vsockbox(["rm", "-Rf", at("copy"), at("d")])).toMatchObject({ status: 0 });
    expect(there()).toEqual(["a", "b"]);
  });

  test("cp: several sources need a directory, and two failing ones are two reports", async () => {
    const result = await vsockbox(["cp", at("a"), at("b"), scratch.file("t/new")]);
    expect([result.status, reports(result.stderr).length]).toEqual([73, 2]);
    expect(existsSync(scratch.file("t/new"))).toBe(false);
  });

  test("mkdir and mv", async () => {
    const made = await vsockbox(["mkdir", at("m1"), at("no/m2"), at("m3")]);
    expect([made.status, reports(made.stderr).length]).toEqual([74, 1]);
    expect(there()).toEqual(["a", "b", "d", "m1", "m3"]);
    const moved = await vsockbox(["mv", at("a"), at("none"), at("m1"), at("d")]);
    expect([moved.status, reports(moved.stderr).length]).toEqual([74, 1]);
    expect(readdirSync(scratch.file("t/d")).sort()).toEqual(["a", "m1"]);
    expect(await vsockbox(["mv", at("b"), at("m3"), at("new")])).toMatchObject({ status: 64 });
    expect(await vsockbox(["mv", at("b")])).toMatchObject({ status: 64 });
    expect(await vsockbox(["mv", at("b"), nowhere("x")])).toMatchObject({ status: 64 });
    expect(await vsockbox(["mv", at("b"), at("new")])).toMatchObject({ status: 0 });
    expect(there()).toEqual(["d", "m3", "new"]);
  });

  test("ls of several directories names each, and JSON has the operand", async () => {
    writeFileSync(scratch.file("t/d/x"), "");
    const { status, stdout } = await vsockbox(["ls", at("d"), at("a")]);
    expect([status, stdout]).toEqual([
      0,
      `${at("d")}:\nx\n\n${at("a")}:\n${scratch.file("t/a")}\n`,
    ]);
    const json = await vsockbox(["ls", "--json", at("d"), at("a")]);
    const lines = json.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as object);
    expect(lines).toMatchObject([
      { name: "x", path: at("d") },
      { name: scratch.file("t/a"), path: at("a") },
    ]);
  });
});

describe("sessions", () => {
  const running = async (name: string) => {
    const args = ["exec", "-d", "--name", name, agent.address, "--", "sh"];
    const script = `echo ${name}; exec sleep 1000`;
    return (await vsockbox([...args, "-c", script])).stdout.trim();
  };
  const state = async (name: string) => {
    const { stdout } = await vsockbox(["ps", "--json", agent.address]);
    return stdout.split("\n").find((line) => line.includes(`"name":"${name}"`)) ?? "";
  };

  test("kill continues after an unknown id", async () => {
    const [one, two] = [await running("one"), await running("two")];
    const result = await vsockbox(["kill", agent.address, one, "zzz", two]);
    expect(reports(result.stderr)).toEqual([expect.stringContaining("zzz")]);
    const alone = await vsockbox(["kill", agent.address, "zzz"]);
    expect(result.status).toBe(alone.status);
    expect(result.status).not.toBe(0);
    for (const name of ["one", "two"]) expect(await state(name)).toContain('"signal":"SIGTERM"');
  });

  test("logs goes on, in order", async () => {
    await running("first");
    await running("second");
    await eventually("both have written", async () => {
      const { stdout } = await vsockbox(["logs", agent.address, "first", "second"]);
      return stdout === "first\nsecond\n";
    });
    const result = await vsockbox(["logs", agent.address, "first", "zzz", "second"]);
    expect(result.stdout).toBe("first\nsecond\n");
    expect(result.status).not.toBe(0);
    expect(reports(result.stderr)).toHaveLength(1);
    expect(await vsockbox(["logs", "--follow", agent.address, "first", "second"])).toMatchObject({
      status: 64,
    });
  });

  test.each(["-9", "-KILL", "-SIGKILL"])("kill %s sends the signal", async (word) => {
    const name = `kill${word}`;
    const id = await running(name);
    expect(await vsockbox(["kill", word, agent.address, id])).toMatchObject({ status: 0 });
    await eventually("it was killed", async () => (await state(name)).includes('"SIGKILL"'));
  });

  test("kill with a signal that does not exist is a usage error", async () => {
    expect(await vsockbox(["kill", "-FOO", agent.address, "x"])).toMatchObject({
      status: 64,
      stderr: expect.stringContaining("expected a signal such as"),
    });
  });
});

describe("odd operands", () => {
  const commands = COMMANDS.map(({ name, load }) => ({ name, load }));

  test.each(commands)("$name: an empty word is a usage error", async ({ name, load }) => {
    const { command } = await load();
    const positionals = Object.values(command.args).filter(
      (spec) => spec.type === "operand" && spec.mayBeEmpty !== true,
    );
    if (positionals.length === 0) return;
    const { status, stderr } = await vsockbox([...name.split(" "), ...positionals.map(() => "")]);
    expect({ status, stderr }).toMatchObject({
      status: 64,
      stderr: expect.stringContaining("empty"),
    });
    expect(stderr).not.toContain("defect");
  });

  test.each(["cp", "ls", "cat", "stat", "mkdir", "rm", "mv"])(
    "%s of unusual paths is not a defect and shows no descriptor",
    async (command) => {
      const long = "n".repeat(300);
      const path = `${"p/".repeat(2100)}x`;
      for (const word of [
        `${agent.address}:/${long}`,
        `${agent.address}:/${path}`,
        `${agent.address}:/a/${long}/`,
      ]) {
        const more = command === "cp" ? [scratch.file("t/d")] : command === "mv" ? [at("y")] : [];
        const { status, stderr } = await vsockbox([command, word, ...more]);
        expect([64, 65, 73, 74]).toContain(status);
        expect(stderr).not.toMatch(/defect|\/proc\/self\/fd/);
      }
    },
  );

  test("cp to and from unusual paths of the host", async () => {
    for (const args of [
      ["cp", "", at("x")],
      ["cp", at("a"), ""],
      ["cp", scratch.file("n".repeat(300)), at("x")],
      ["cp", at("a"), scratch.file("n".repeat(300))],
      ["cp", at("a"), `${scratch.file("t/a")}/x`],
      ["cp", at("a"), scratch.file("none/x")],
    ]) {
      const { status, stderr } = await vsockbox(args);
      expect([64, 73, 74]).toContain(status);
      expect(stderr).not.toMatch(/defect|\/proc\/self\/fd/);
    }
  });
});

describe("an operand whose guest is unknown", () => {
  const line = (words: string) => `cd "$D" && vsockbox ${words}`;
  const run = (words: string) =>
    shell(line(words), {
      env: { A: agent.address, D: scratch.file("local"), HOME: scratch.file("") },
    });
  beforeAll(() => {
    mkdirSync(scratch.file("local/full"), { recursive: true });
    for (const name of ["1star", "a b", "co:lon"])
      writeFileSync(scratch.file(`local/${name}`), "x");
  });

  test("ends cp before anything is copied, with a hint at the local file", async () => {
    const { status, stderr } = await run('cp -q *star "a b" co:lon "$A:$D/full/"');
    expect(status).toBe(78);
    expect(stderr).toContain('"co": no such profile in');
    expect(stderr).toContain("hint: for the local file of that name write ./co:lon\n");
    expect(readdirSync(scratch.file("local/full"))).toEqual([]);
    expect((await run('cp -q *star "a b" ./co:lon "$A:$D/full/"')).status).toBe(0);
    expect(readdirSync(scratch.file("local/full"))).toHaveLength(3);
  });

  test.each(["cat", "ls", "stat", "rm", "mkdir"])(
    "ends %s before anything is done",
    async (name) => {
      const { status, stdout, stderr } = await run(`${name} "$A:$D/a b" co:lon`);
      expect({ status, stdout }).toEqual({ status: 78, stdout: "" });
      expect(stderr).toContain(
        "hint: co:lon is a local file; this command is for files in guests\n",
      );
      expect(existsSync(scratch.file("local/a b"))).toBe(true);
    },
  );

  test("without a local file has the hint of the profiles", async () => {
    expect((await run('cat "$A:$D/a b" none:x')).stderr).not.toContain("local file");
  });
});
