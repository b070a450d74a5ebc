import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import {
  eventually,
  processesWith,
  Running,
  shell,
  ScratchDirectory,
  TestAgent,
  vsockbox,
} from "../support/binary.ts";
import { OwnTerminal } from "../support/own-terminal.ts";
import { atRest } from "../support/process-state.ts";

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

const exec = (...args: string[]) => vsockbox(["exec", agent.address, ...args]);
const descriptors = (pid: number) => readdirSync(`/proc/${pid}/fd`).length;
const rssKb = (pid: number) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);

describe("exec", () => {
  test("keeps stdout, stderr and the exit status apart", async () => {
    expect(await exec("--", "sh", "-c", "echo out; echo err >&2; exit 7")).toEqual({
      status: 7,
      stdout: "out\n",
      stderr: "err\n",
    });
  });

  test.each([0, 1, 126, 127, 128, 255])("passes exit status %d on", async (status) => {
    expect((await exec("--", "sh", "-c", `exit ${status}`)).status).toBe(status);
  });

  test.each([
    ["TERM", 143],
    ["KILL", 137],
    ["SEGV", 139],
    ["INT", 130],
  ])("exits with 128 + N for signal %s", async (signal, status) => {
    expect((await exec("--", "sh", "-c", `kill -${signal} $$`)).status).toBe(status);
  });

  test("127 for a command that does not exist, 126 for one that is not executable", async () => {
    const missing = await exec("--", "no-such-command-here");
    expect([missing.status, missing.stderr]).toEqual([127, expect.stringContaining("not found")]);
    expect((await exec("--", "/etc/passwd")).status).toBe(126);
  });

  test("streams input to the command and its end with it", async () => {
    const { stdout } = await vsockbox(["exec", agent.address, "--", "wc", "-c"], {
      stdin: "x".repeat(100_000),
    });
    expect(stdout.trim()).toBe("100000");
  });

  test("sends 64 MiB there and back unchanged", async () => {
    const data = randomBytes(64 * 1024 * 1024);
    const input = scratch.file("input");
    writeFileSync(input, data);
    const { stdout } = await shell(`vsockbox exec ${agent.address} -- cat < ${input} | sha256sum`);
    expect(stdout).toContain(createHash("sha256").update(data).digest("hex"));
  });

  test("an input that is not read does not delay the command", async () => {
    const result = await shell(
      `head -c 50000000 /dev/zero | vsockbox exec ${agent.address} -- sh -c 'exit 3'`,
    );
    expect(result.status).toBe(3);
  });

  test("a regular file as input is read from the offset of its descriptor", async () => {
    const file = scratch.file("lines");
    writeFileSync(file, "one\ntwo\nthree\n");
    const { stdout } = await shell(`{ read x; vsockbox exec ${agent.address} -- cat; } < ${file}`);
    expect(stdout).toBe("two\nthree\n");
  });

  test("the command may open /dev/stdin, /dev/stdout and /dev/stderr anew", async () => {
    const result = await vsockbox(
      ["exec", agent.address, "--shell", "cat /dev/stdin > /dev/stdout; echo e > /dev/stderr"],
      { stdin: "in" },
    );
    expect(result).toEqual({ status: 0, stdout: "in", stderr: "e\n" });
  });

  test("a closed standard input is an empty one", async () => {
    expect(await shell(`vsockbox exec ${agent.address} -- cat <&-; echo $?`)).toMatchObject({
      stdout: "0\n",
    });
  });

  test("the last output comes before the exit status, 50 times", async () => {
    const runs = Array.from({ length: 50 }, (_, run) =>
      exec("-n", "--", "sh", "-c", `head -c 200000 /dev/zero; echo ${run}`),
    );
    for (const [run, { stdout }] of (await Promise.all(runs)).entries()) {
      expect(stdout.length).toBe(200_000 + String(run).length + 1);
    }
  });

  test("arguments arrive byte for byte", async () => {
    const { stdout } = await shell(
      `vsockbox exec ${agent.address} -- printf '%s|' 'a b' '' "it's" '$HOME' $'\\n' $'\\xff\\xfe' '*' | od -An -tx1 | tr -d ' \\n'`,
    );
    expect(Buffer.from(stdout, "hex").toString("latin1")).toBe("a b||it's|$HOME|\n|\xff\xfe|*|");
  });

  test("a command line of 600 kB arrives whole", async () => {
    const words = Array.from({ length: 5 }, () => "x".repeat(120_000));
    const { stdout } = await exec(
      "--",
      "sh",
      "-c",
      'echo "$#"; printf %s "$@" | wc -c',
      "sh",
      ...words,
    );
    expect(stdout).toBe("5\n600000\n");
  });

  test("standard output on a full disk is status 74 with the reason", async () => {
    expect(await shell(`vsockbox exec ${agent.address} -n -- echo x > /dev/full`)).toEqual({
      status: 74,
      stdout: "",
      stderr: "vsockbox: cannot write to standard output: no space left on device (ENOSPC)\n",
    });
  });

  test("--shell runs a line, and excludes a command", async () => {
    expect((await exec("--shell", "echo a | tr a b; exit 4")).status).toBe(4);
    expect(await exec("--shell", "true", "--", "ls")).toMatchObject({
      status: 64,
      stderr: expect.stringContaining("--shell cannot be used with COMMAND\n"),
    });
    expect((await exec()).status).toBe(64);
  });

  test("--env, --env-file and --cwd", async () => {
    const file = scratch.file("env");
    writeFileSync(file, "A=file\nB=file\n");
    const result = await vsockbox(
      [
        "exec",
        agent.address,
        "--env-file",
        file,
        "-e",
        "A=word",
        "-e",
        "C",
        "-w",
        "/usr",
        "--",
        "sh",
        "-c",
        "echo $A $B $C; pwd",
      ],
      { env: { C: "own" } },
    );
    expect(result.stdout).toBe("word file own\n/usr\n");
    expect(await exec("--cwd", "/no/such/dir", "--", "ls")).toEqual({
      status: 125,
      stdout: "",
      stderr: expect.stringContaining("/no/such/dir: no such directory (ENOENT)"),
    });
  });

  test("options of the command are its own", async () => {
    expect((await exec("echo", "--json", "--help", "-n")).stdout).toBe("--json --help -n\n");
  });

  test("--json prints events", async () => {
    const { stdout, status } = await exec(
      "--json",
      "--",
      "sh",
      "-c",
      "printf 'a\\377'; kill -9 $$",
    );
    const events = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as unknown);
    expect(events).toEqual([
      { event: "stdout", base64: "Yf8=" },
      {
        event: "exit",
        exit_code: 137,
        signal: "SIGKILL",
        timed_out: false,
        duration_ms: expect.any(Number),
      },
    ]);
    expect(status).toBe(137);
  });

  test("a remaining background process does not delay the exit status", async () => {
    const { status, stdout } = await exec("--shell", "sleep 200.5 & echo started; exit 5");
    expect([status, stdout]).toEqual([5, "started\n"]);
    const left = processesWith("sleep 200.5");
    expect(left.length).toBe(1);
    for (const pid of left) process.kill(pid);
  });
});

describe.if(process.getuid?.() === 0)("exec --user, as root", () => {
  const id = async (user: string) => {
    const { stdout, stderr, status } = await exec("-n", `--user=${user}`, "--", "id");
    return { stdout: stdout.trim(), stderr, status };
  };

  test("a uid has no supplementary groups", async () => {
    expect((await id("4711")).stdout).toBe("uid=4711 gid=4711 groups=4711");
  });

  test("uid:gid", async () => {
    expect((await id("4711:4712")).stdout).toBe("uid=4711 gid=4712 groups=4712");
  });

  describe.each(["2147483648", "7:4294967294", "4294967294:7"])(
    "%s, beyond a signed id",
    (user) => {
      const [uid = "", gid = uid] = user.split(":");
      // The pipes and the terminal belong to the user as well.
      const line = "id -u; id -g; stat -Lc %u /dev/stdout; echo again > /dev/stdout";
      const lines = [uid, gid, uid, "again"];
      const command = ["--user", user, "--", "sh", "-c", line];

      test.each([[[]], [["-n"]], [["--sandbox", "all"]]])("with %j", async (way) => {
        const stdout = `${lines.join("\n")}\n`;
        expect(await exec(...way, ...command)).toMatchObject({ stdout, stderr: "", status: 0 });
      });

      test.each([[[]], [["--sandbox", "all"]]])("on a terminal, with %j", async (way) => {
        await using terminal = new OwnTerminal();
        const run = terminal.run(["exec", "-t", ...way, agent.address, ...command]);
        expect(await terminal.exited(run)).toBe(0);
        expect(terminal.text).toBe(`${lines.join("\r\n")}\r\n`);
      });

      test.each([[["-d"]], [["-d", "-t"]], [["-d", "--sandbox", "all"]]])(
        "with %j",
        async (way) => {
          const started = await exec(...way, ...command);
          expect(started).toMatchObject({ stderr: "", status: 0 });
          const logs = await vsockbox(["logs", "--follow", agent.address, started.stdout.trim()]);
          expect(logs).toMatchObject({ status: 0 });
          expect(logs.stdout.replaceAll("\r", "")).toBe(`${lines.join("\n")}\n`);
        },
      );
    },
  );

  test("a user name sets USER and HOME", async () => {
    const { stdout } = await exec("--user", "nobody", "--shell", "id -un; echo $USER $HOME");
    const home = /^nobody:.*?:([^:]*):[^:]*$/m.exec(readFileSync("/etc/passwd", "utf8"))?.[1];
    expect(stdout).toBe(`nobody\nnobody ${home}\n`);
  });

  test.each(["no-such-user", "1:2:3", "-1", "4294967295"])(
    "refuses %s, and runs nothing",
    async (user) => {
      expect(await id(user)).toMatchObject({
        status: 125,
        stdout: "",
        stderr: expect.stringContaining("look up user"),
      });
    },
  );
});

describe("ending a command early", () => {
  test("--timeout ends it with 124 and leaves nothing", async () => {
    expect((await exec("--timeout", "1", "--", "sleep", "900.125")).status).toBe(124);
    expect(processesWith("sleep 900.125")).toEqual([]);
  });

  test("--timeout ends a command that ignores SIGTERM", async () => {
    const result = await exec(
      "--timeout",
      "300ms",
      "--shell",
      "trap '' TERM; while :; do sleep 0.226; done",
    );
    expect(result.status).toBe(124);
    await eventually("gone", () => processesWith("sleep 0.226").length === 0);
  });

  test("Ctrl-C goes to the command, whose status decides", async () => {
    await using client = new Running([
      "exec",
      agent.address,
      "--shell",
      "trap 'echo caught >&2; exit 9' INT; echo ready >&2; while :; do sleep 0.1; done",
    ]);
    await client.says("ready");
    client.process.kill("SIGINT");
    expect(await client.process.exited).toBe(9);
    expect(client.stderr).toContain("caught");
  });

  test("a second Ctrl-C drops the connection, and the agent ends the group", async () => {
    await using client = new Running([
      "exec",
      agent.address,
      "--shell",
      "(trap '' INT; exec sleep 77.5) & trap 'echo caught >&2' INT; echo ready >&2; while :; do wait; done",
    ]);
    await client.says("ready");
    client.process.kill("SIGINT");
    await client.says("caught");
    client.process.kill("SIGINT");
    expect(await client.process.exited).toBe(130);
    await eventually("no sleep left", () => processesWith("sleep 77.5").length === 0);
  });

  test("a killed client leaves no process, also one that ignores SIGTERM", async () => {
    await using client = new Running([
      "exec",
      agent.address,
      "--shell",
      "trap '' TERM; echo ready >&2; while :; do sleep 0.337; done",
    ]);
    await client.says("ready");
    client.process.kill("SIGKILL");
    await eventually("no sleep left", () => processesWith("sleep 0.337").length === 0);
  });

  test("a client killed while its input is stuck leaves no process", async () => {
    await using client = new Running([
      "exec",
      agent.address,
      "--shell",
      "echo ready >&2; sleep 78.5",
    ]);
    await client.says("ready");
    // Far more than all buffers take: the agent stops reading the connection.
    client.process.stdin.write(new Uint8Array(16 * 1024 * 1024));
    void Promise.resolve(client.process.stdin.flush()).catch(() => undefined);
    await atRest(client.pid, agent.running.pid);
    client.process.kill("SIGKILL");
    await eventually("no sleep left", () => processesWith("sleep 78.5").length === 0);
  });

  test("a killed agent is status 255", async () => {
    await using other = await TestAgent.start();
    await using client = new Running([
      "exec",
      other.address,
      "--shell",
      "echo ready >&2; sleep 79.5",
    ]);
    await client.says("ready");
    other.running.process.kill("SIGKILL");
    expect(await client.process.exited).toBe(255);
    expect(client.stderr).toContain("the other side has closed the connection");
    for (const pid of processesWith("sleep 79.5")) process.kill(pid);
  });

  test("a stopped agent ends its commands first", async () => {
    await using other = await TestAgent.start();
    await using client = new Running([
      "exec",
      other.address,
      "--shell",
      "echo ready >&2; sleep 80.5",
    ]);
    await client.says("ready");
    other.running.process.kill("SIGTERM");
    expect(await other.running.process.exited).toBe(0);
    expect(processesWith("sleep 80.5")).toEqual([]);
    expect(await client.process.exited).toBe(255);
  });

  test("a reader of our output that closes ends the command", async () => {
    const { stdout } = await shell(
      `vsockbox exec ${agent.address} -n -- sh -c 'while :; do echo y; sleep 0.0148; done' | head -2; echo \${PIPESTATUS[0]}`,
    );
    expect(stdout).toBe("y\ny\n141\n");
    await eventually("gone", () => processesWith("sleep 0.0148").length === 0);
  });
});

describe("exec --verbose", () => {
  test("prints the address, each step and its time to standard error, and nothing else changes", async () => {
    const { stdout, stderr, status } = await vsockbox([
      "exec",
      "-v",
      agent.address,
      "--",
      "id",
      "-u",
    ]);
    expect({ stdout, status }).toEqual({ stdout: `${process.getuid?.()}\n`, status: 0 });
    const steps = [...stderr.matchAll(/^vsockbox: (\d+\.\d) ms: (.*)$/gm)];
    expect(steps.map(([, , step]) => step)).toEqual([
      `connecting to ${agent.address}`,
      `connected to ${agent.address}`,
      expect.stringMatching(/^the agent, vsockbox \S+, has answered$/),
    ]);
    const times = steps.map(([, time]) => Number(time));
    expect(times.toSorted((a, b) => a - b)).toEqual(times);
    expect(stderr.trim().split("\n")).toHaveLength(3);
  });
});

describe("many and much", () => {
  test("100 commands at once, and nothing is left of them", async () => {
    // The agent opens some descriptors with its first command.
    await exec("-n", "--", "true");
    const before = descriptors(agent.running.pid);
    const runs = Array.from({ length: 100 }, (_, run) =>
      exec("-n", "--", "sh", "-c", `echo ${run}; exit ${run}`),
    );
    for (const [run, result] of (await Promise.all(runs)).entries()) {
      expect(result).toEqual({ status: run, stdout: `${run}\n`, stderr: "" });
    }
    await eventually("descriptors closed", () => descriptors(agent.running.pid) <= before);
  });

  test("4 GiB to a slow reader in flat memory, at both ends", async () => {
    await using other = await TestAgent.start();
    await using client = new Running([
      "exec",
      other.address,
      "-n",
      "--",
      "head",
      "-c",
      "4G",
      "/dev/zero",
    ]);
    let [bytes, peakKb] = [0, 0];
    for await (const chunk of client.process.stdout) {
      // Slow at first, so that everything that could pile up does; sampled all along.
      if (bytes < 200_000_000 && bytes % 7 === 0) await Bun.sleep(5);
      if (Math.floor(bytes / 1e8) !== Math.floor((bytes + chunk.length) / 1e8)) {
        peakKb = Math.max(peakKb, rssKb(other.running.pid), rssKb(client.pid));
      }
      bytes += chunk.length;
    }
    expect(bytes).toBe(4 * 1024 ** 3);
    expect(await client.process.exited).toBe(0);
    expect(peakKb).toBeGreaterThan(10_000);
    expect(peakKb).toBeLessThan(120_000);
  });
});
