/** Detached sessions: exec --detach, ps, logs, attach, kill. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { FEATURES } from "../../src/protocols/agent/hello.ts";
import {
  BINARY,
  eventually,
  processesWith,
  Running,
  ScratchDirectory,
  TestAgent,
  vsockbox,
} from "../support/binary.ts";
import { hostileAgent } from "../support/hostile-agent.ts";

let agent: TestAgent;
beforeAll(async () => {
  agent = await TestAgent.start(["--max-output", "100000"]);
});
afterAll(() => agent[Symbol.asyncDispose]());

async function detach(args: readonly string[], command: readonly string[]): Promise<string> {
  const result = await vsockbox(["exec", "-d", agent.address, ...args, "--", ...command]);
  expect(result).toMatchObject({ status: 0, stderr: "" });
  expect(result.stdout).toMatch(/^[0-9a-f]{8}\n$/);
  return result.stdout.trim();
}

const sessions = async () =>
  (await vsockbox(["ps", agent.address, "--json"])).stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

const session = async (id: string) => (await sessions()).find((entry) => entry["id"] === id);
const ended = (id: string) =>
  eventually(`${id} has ended`, async () => (await session(id))?.["state"] === "ended");

describe("exec --detach", () => {
  test("outlives its client; ps lists it, logs has its output and errors", async () => {
    const id = await detach(["--name", "one"], ["sh", "-c", "echo out; echo err >&2; exit 3"]);
    await ended(id);
    expect(await session(id)).toMatchObject({
      name: "one",
      command: "sh -c echo out; echo err >&2; exit 3",
      exit_code: 3,
      output_begin_bytes: 0,
      output_end_bytes: 8,
    });
    const logs = await vsockbox(["logs", agent.address, "one"]);
    expect(logs).toMatchObject({ status: 0, stdout: "out\n", stderr: "err\n" });
    expect((await vsockbox(["ps", agent.address])).stdout).toMatch(
      /^ID +NAME +PID +STATE +TIME +COMMAND\n(.*\n)*[0-9a-f]{8} +one +\d+ +ended \(3\) /,
    );
  });

  test("has an empty input, unless -i keeps it open", async () => {
    const id = await detach([], ["cat"]);
    await ended(id);
    const open = await detach(["-i"], ["cat"]);
    expect(await session(open)).toMatchObject({ state: "running" });
    expect((await vsockbox(["kill", agent.address, open])).status).toBe(0);
  });

  test("a command that cannot be started fails at once", async () => {
    const result = await vsockbox(["exec", "-d", agent.address, "--cwd", "/nowhere", "--", "ls"]);
    expect(result).toMatchObject({
      status: 125,
      stderr: expect.stringContaining("no such directory"),
    });
  });
});

describe("logs", () => {
  test("-f goes on until the end, and --offset begins in the middle", async () => {
    const id = await detach([], ["sh", "-c", "echo first; sleep 0.4; echo second"]);
    const logs = await vsockbox(["logs", "--follow", agent.address, id]);
    expect(logs).toMatchObject({ status: 0, stdout: "first\nsecond\n" });
    const rest = await vsockbox(["logs", agent.address, id, "--offset", "8"]);
    expect(rest.stdout).toBe("cond\n");
    const facts = await vsockbox(["logs", agent.address, id, "--json"]);
    expect(JSON.parse(facts.stdout)).toMatchObject({
      offset_bytes: 13,
      dropped_bytes: 0,
      exit_code: 0,
    });
  });

  test("output that the agent has dropped is reported as missing", async () => {
    const id = await detach([], ["sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' a; echo end"]);
    await ended(id);
    const logs = await vsockbox(["logs", agent.address, id, "--offset", "0"]);
    expect(logs.stderr).toMatch(/^vsockbox: 9\d{5} bytes of older output were dropped\n$/);
    expect(logs.stdout.endsWith("aend\n")).toBe(true);
    expect(logs.stdout.length).toBeLessThanOrEqual(100_000);
  });

  const lines = (text: string) => text.split("\n").filter((line) => line !== "");

  test("--tail, --since and --timestamps select lines and print their times", async () => {
    const script = "seq 1 30; echo err >&2; until [ -e go ]; do sleep 0.05; done; echo late";
    using scratch = new ScratchDirectory();
    const id = await detach(["--cwd", scratch.path], ["sh", "-c", script]);
    await eventually("it has written", async () =>
      (await vsockbox(["logs", agent.address, id])).stderr.includes("err"),
    );
    const middleMs = Date.now();
    writeFileSync(scratch.file("go"), "");
    await ended(id);

    const tail = await vsockbox(["logs", "--tail", "3", agent.address, id]);
    expect(tail).toEqual({ status: 0, stdout: "30\nlate\n", stderr: "err\n" });
    const none = await vsockbox(["logs", "--tail", "0", agent.address, id]);
    expect(none).toEqual({ status: 0, stdout: "", stderr: "" });
    const followed = await vsockbox(["logs", "--follow", "--tail=1", agent.address, id]);
    expect(followed.stdout).toBe("late\n");

    const now = await vsockbox(["logs", "--since", "0", agent.address, id]);
    expect(now).toEqual({ status: 0, stdout: "", stderr: "" });
    const all = await vsockbox(["logs", "--since", "1h", agent.address, id]);
    expect(lines(all.stdout)).toHaveLength(31);

    const timed = await vsockbox(["logs", "--timestamps", agent.address, id]);
    const times = lines(timed.stdout).map((line) => {
      const [, time = "", text] = /^(\d{4}-\d\d-\d\dT[\d:.]{12}Z) (.*)$/.exec(line) ?? [];
      return { timeMs: Date.parse(time), text };
    });
    expect(times.map(({ text }) => text).slice(-2)).toEqual(["30", "late"]);
    const [before, after] = times.slice(-2);
    expect(before?.timeMs).toBeLessThanOrEqual(middleMs);
    expect(after?.timeMs).toBeGreaterThanOrEqual(middleMs - 10);
  });

  test.each([["--tail=2"], ["--since=1m"], ["--timestamps"]])(
    "%s of an agent that cannot do it is an error",
    async (option) => {
      using scratch = new ScratchDirectory();
      const path = scratch.file("old.sock");
      const features = FEATURES.filter((feature) => feature !== "log-parts");
      using _old = hostileAgent(path, (channel) => channel.finish({ offset: 0 }), { features });
      expect(await vsockbox(["logs", option, `unix:${path}`, "build"])).toMatchObject({
        status: 69,
        stderr:
          "vsockbox: cannot read output of build: this agent cannot select lines or send times of output (EOPNOTSUPP)\n" +
          "  hint: run a newer `vsockbox agent` in the guest\n",
      });
      expect(await vsockbox(["logs", `unix:${path}`, "build"])).toMatchObject({ status: 0 });
    },
  );

  test("an agent that sends an invalid time is an error", async () => {
    using scratch = new ScratchDirectory();
    const path = scratch.file("hostile.sock");
    using _hostile = hostileAgent(path, (channel) => {
      void channel.sendRecord({ timeMs: 1e300 });
    });
    expect(await vsockbox(["logs", "--timestamps", `unix:${path}`, "x"])).toMatchObject({
      status: 65,
      stdout: "",
    });
  });

  test("an unknown id is an error", async () => {
    const result = await vsockbox(["logs", agent.address, "nobody"]);
    expect(result).toMatchObject({
      status: 78,
      stderr: expect.stringContaining("no such session"),
    });
  });
});

describe("ps", () => {
  test("-q prints ids alone, for kill; --all adds those that have ended", async () => {
    await using own = await TestAgent.start();
    const start = async (...command: string[]) =>
      (await vsockbox(["exec", "-d", own.address, "--", ...command])).stdout.trim();
    const old = await start("true");
    const state = async () => (await vsockbox(["ps", own.address])).stdout;
    await eventually("the first has ended", async () => (await state()).includes("ended (0)"));
    const ids = [await start("sleep", "83.25"), await start("sleep", "83.25")];
    const quiet = await vsockbox(["ps", "-q", own.address]);
    expect(quiet).toEqual({ status: 0, stdout: `${ids.join("\n")}\n`, stderr: "" });
    const all = await vsockbox(["ps", "-aq", own.address]);
    expect(all.stdout).toBe(`${[old, ...ids].join("\n")}\n`);
    expect((await vsockbox(["ps", "-a", own.address])).stdout).toContain(old);

    const line = '"$V" kill "$T" $("$V" ps -q "$T")';
    const kill = Bun.spawnSync(["sh", "-c", line], { env: { V: BINARY, T: own.address } });
    expect([kill.exitCode, kill.stderr.toString()]).toEqual([0, ""]);
    expect(processesWith("sleep 83.25")).toEqual([]);
    expect(await vsockbox(["ps", "-q", own.address])).toMatchObject({ status: 0, stdout: "" });
  });
});

describe("attach", () => {
  test("passes its input and the end of it on, as exec does", async () => {
    const id = await detach(["-i"], ["sh", "-c", "cat; echo end; exit 3"]);
    const joined = await vsockbox(["attach", agent.address, id], { stdin: "typed\n" });
    expect(joined).toEqual({ status: 3, stdout: "typed\nend\n", stderr: "" });
  });

  test("-n keeps the session's input open", async () => {
    const id = await detach(["-i"], ["cat"]);
    await using left = new Running(["attach", "-n", agent.address, id]);
    left.process.stdin.end();
    const joined = await vsockbox(["attach", agent.address, id], { stdin: "typed\n" });
    expect(joined).toMatchObject({ status: 0, stdout: "typed\n" });
  });

  test("joins input and output; leaving does not end it", async () => {
    const id = await detach(["-i"], ["cat"]);
    const first = new Running(["attach", agent.address, id]);
    first.process.stdin.write("hello\n");
    await first.process.stdin.flush();
    const reader = first.process.stdout.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toBe("hello\n");
    first.process.kill("SIGINT");
    expect(await first.process.exited).toBe(0);
    expect(first.stderr).toContain("goes on");
    expect(await session(id)).toMatchObject({ state: "running" });
    await using one = new Running(["attach", "-n", agent.address, id]);
    await using two = new Running(["attach", "-n", agent.address, id]);
    const outputs = [one, two].map(({ process: { stdout } }) => stdout.getReader());
    for (const output of outputs) {
      expect(new TextDecoder().decode((await output.read()).value)).toBe("hello\n");
    }
    await vsockbox(["kill", agent.address, id]);
    for (const joined of [one, two]) expect(await joined.process.exited).toBe(143);
    for (const output of outputs) expect((await output.read()).done).toBe(true);
  });

  test("a reader that does not read holds up neither the command nor others", async () => {
    const id = await detach([], ["sh", "-c", "head -c 50000000 /dev/zero; echo done"]);
    const stuck = new Running(["attach", "-n", agent.address, id]);
    await ended(id);
    const logs = await vsockbox(["logs", agent.address, id]);
    expect(logs.stdout.endsWith("done\n")).toBe(true);
    await stuck[Symbol.asyncDispose]();
  });
});

describe("kill", () => {
  test("ends the whole group and waits for it", async () => {
    const id = await detach([], ["sh", "-c", "sleep 81.25 & sleep 81.25"]);
    await eventually("it runs", () => processesWith("sleep 81.25").length >= 2);
    const result = await vsockbox(["kill", agent.address, id.slice(0, 6), "--json"]);
    expect(JSON.parse(result.stdout)).toMatchObject({ id, state: "ended", was_running: true });
    expect(processesWith("sleep 81.25")).toEqual([]);
  });

  test("sends a signal by name", async () => {
    const id = await detach(
      [],
      ["sh", "-c", "trap 'echo hup; exit 9' HUP; echo up; while :; do sleep 0.05; done"],
    );
    await eventually(
      "it is up",
      async () => (await vsockbox(["logs", agent.address, id])).stdout === "up\n",
    );
    expect((await vsockbox(["kill", agent.address, id, "--signal", "hup"])).status).toBe(0);
    await ended(id);
    expect(await session(id)).toMatchObject({ exit_code: 9 });
    expect((await vsockbox(["kill", agent.address, id, "--remove"])).status).toBe(0);
    expect(await session(id)).toBeUndefined();
    const wrong = await vsockbox(["kill", agent.address, id, "--signal", "NOPE"]);
    expect(wrong).toMatchObject({
      status: 64,
      stderr: expect.stringContaining("expected a signal"),
    });
  });
});

test("an agent that ends also ends them and logs their number", async () => {
  await using own = await TestAgent.start();
  const started = await vsockbox(["exec", "-d", own.address, "--", "sleep", "82.75"]);
  expect(started.status).toBe(0);
  own.running.process.kill("SIGTERM");
  await own.running.process.exited;
  expect(own.running.stderr).toContain("1 detached ended");
  expect(processesWith("sleep 82.75")).toEqual([]);
});
