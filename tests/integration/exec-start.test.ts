/** What arrives at a command: arguments, environment, signals; and what is reported if it cannot start. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import {
  eventually,
  processesWith,
  Running,
  shell,
  ScratchDirectory,
  TestAgent,
  vsockbox,
} from "../support/binary.ts";
import { describeUnshared } from "../support/namespaces.ts";
import { OwnTerminal } from "../support/own-terminal.ts";
import { hostileAgent } from "../support/hostile-agent.ts";

/** Variables that a shell between would drop, refuse or obey. */
const ODD_VARIABLES = [
  "discovery.type=single node",
  "a-b=1",
  "1x=2",
  "sp ace=3",
  "OPTIND=x",
  "SHELLOPTS=noexec",
  "PS4=$(touch /nowhere)",
  "IFS=x",
  "EMPTY=",
  "EQUALS=a=b=",
  "LINES=a\nb",
  "_=under",
];

let agent: TestAgent;
let scratch: ScratchDirectory;
beforeAll(async () => {
  scratch = new ScratchDirectory();
  agent = await TestAgent.start([], { env: { "agent.own-1": "kept", OPTARG: "o" } });
});
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

const exec = (...args: string[]) => vsockbox(["exec", agent.address, ...args]);
const settings = (stdout: string) => stdout.split("\0").filter((setting) => setting !== "");
const options = ODD_VARIABLES.flatMap((setting) => ["-e", setting]);

describe("the environment", () => {
  test.each([
    ["plain", []],
    ["without input", ["-n"]],
    ["by the helper", ["--sandbox", "no-new-privs"]],
  ])("arrives byte for byte, the agent's own too: %s", async (_, more) => {
    const { status, stdout } = await exec(...more, ...options, "--", "env", "-0");
    expect(status).toBe(0);
    expect(settings(stdout)).toEqual(
      expect.arrayContaining([...ODD_VARIABLES, "agent.own-1=kept"]),
    );
  });

  test("OPTIND does not keep a shell from running", async () => {
    const { stdout, status } = await exec("-e", "OPTIND=x", "--shell", "echo RUN; exit 9");
    expect({ stdout, status }).toEqual({ stdout: "RUN\n", status: 9 });
  });

  test("more than one variable can hold arrives through the helper, too", async () => {
    const values = Array.from({ length: 8 }, (_, index) => `BIG${index}=${"v".repeat(100_000)}`);
    const big = values.flatMap((value) => ["-e", value]);
    for (const more of [[], ["--sandbox", "no-new-privs"]]) {
      const { stdout, status, stderr } = await exec(...more, ...big, "--", "env", "-0");
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      expect(settings(stdout)).toEqual(expect.arrayContaining(values));
    }
  });

  test.each([[""], ["--sandbox no-new-privs"]])(
    "bytes that are not UTF-8 arrive %s",
    async (more) => {
      const { stdout } = await shell(
        `export OWN=$'\\xfd'; vsockbox exec ${agent.address} ${more} -e $'A\\xff=\\xfe' -e OWN -- env -0 | od -An -c`,
      );
      expect(stdout.replaceAll(/\s+/g, " ")).toContain("A 377 = 376 \\0");
      expect(stdout.replaceAll(/\s+/g, " ")).toContain("O W N = 375 \\0");
    },
  );
});

describe("the arguments", () => {
  test.each([[[]], [["--sandbox", "no-new-privs"]], [["-n"]]])(
    "arrive as they are, empty ones and the program's name too: %j",
    async (more: string[]) => {
      const words = ["", " ", "*", "$HOME", "a'b\"c", "-x", "\n", "é"];
      const result = await exec(
        ...more,
        "--",
        "sh",
        "-c",
        'printf "<%s>" "$0" "$@"',
        "zero",
        ...words,
      );
      expect(result.stdout).toBe(["zero", ...words].map((word) => `<${word}>`).join(""));
      const name = await exec(...more, "--", "sh", "-c", "tr '\\0' , < /proc/$$/cmdline");
      expect(name.stdout).toStartWith("sh,-c,");
    },
  );

  test("a program and a directory need not be UTF-8", async () => {
    const { stdout, status } = await shell(
      `d=$(printf '${scratch.path}/d\\377'); mkdir "$d"; printf '#!/bin/sh\\necho "$1"; pwd | od -An -c | tail -1' > "$d/p"; chmod 755 "$d/p"
       vsockbox exec ${agent.address} --cwd "$d" -- "$d/p" ok`,
    );
    expect(status).toBe(0);
    expect(stdout.replaceAll(/\s+/g, " ")).toMatch(/^ok .*\/ d 377 \\n $/);
  });

  test("100,000 of them arrive", async () => {
    const { stdout } = await shell(
      `vsockbox exec ${agent.address} -- sh -c 'echo $#; cat' x $(seq 1 100000) <<< input`,
    );
    expect(stdout).toBe("100000\ninput\n");
  });

  test("-- ends the options", async () => {
    const { stdout } = await exec("--", "echo", "--json", "-n", "--", "-d");
    expect(stdout).toBe("--json -n -- -d\n");
  });
});

describe("a failed start", () => {
  const program = (name: string, content: string, mode: number) => {
    const file = scratch.file(name);
    writeFileSync(file, content);
    chmodSync(file, mode);
    return file;
  };
  const cases = (): [string[], number, string, string, string | undefined][] => [
    [["--", "no-such-program"], 127, "not_found", "program", "ENOENT"],
    [["--", "/no/such/program"], 127, "not_found", "program", "ENOENT"],
    [["--", program("plain", "x", 0o644)], 126, "permission_denied", "program", "EACCES"],
    [["--", scratch.path], 126, "permission_denied", "program", "EACCES"],
    [["--", program("noexec", "\x7fno", 0o755)], 126, "not_executable", "program", "ENOEXEC"],
    [["--cwd", "/nope", "--", "true"], 125, "bad_cwd", "directory", "ENOENT"],
    [["--cwd", "/etc/passwd", "--", "true"], 125, "bad_cwd", "directory", "ENOTDIR"],
    [["--user", "no-such", "--", "true"], 125, "user_unknown", "user", undefined],
  ];

  test("has one line, one status and one event, whichever way it is run", async () => {
    const ways = [
      [],
      ["-n"],
      ["-d"],
      ["--sandbox", "no-new-privs"],
      ["-d", "--sandbox", "no-new-privs"],
      ["-d", "-t"],
    ];
    for (const [args, status, kind, stage, errno] of cases()) {
      for (const way of ways) {
        const plain = await exec(...way, ...args);
        const shown = `${JSON.stringify([way, args])}: ${plain.stderr}`;
        expect({ status: plain.status, stdout: plain.stdout, shown }).toEqual({
          status,
          stdout: "",
          shown,
        });
        expect(plain.stderr).toMatch(/^vsockbox: [^\n]+\n$/);
        const json = await exec(...way, "--json", ...args);
        expect(json.status).toBe(status);
        const event: unknown = JSON.parse(json.stdout);
        const error = { code: "NOT_STARTED", kind, stage };
        if (errno === undefined) expect(event).toMatchObject({ error });
        else expect(event).toMatchObject({ error: { ...error, errno } });
      }
    }
  });

  test.each([[[]], [["--sandbox", "no-new-privs"]]])(
    "on the user's terminal has one line and one status, and keeps its settings, with %j",
    async (way) => {
      for (const [args, status, kind] of cases()) {
        await using terminal = new OwnTerminal();
        const { settings: before } = terminal;
        const words = ["exec", "-t", ...way, agent.address, ...args];
        const shown = JSON.stringify([args, kind]);
        const exited = await terminal.exited(terminal.run(words));
        expect({ shown, exited, settings: terminal.settings }).toEqual({
          shown,
          exited: status,
          settings: before,
        });
        expect(terminal.text).toMatch(/^vsockbox: [^\r\n]+\r\n$/);
      }
    },
  );

  test("in several guests has the same status and kind", async () => {
    const both = `${agent.address},${agent.address}`;
    for (const [args, status, kind] of cases()) {
      const result = await vsockbox(["exec", "--json", both, ...args]);
      expect(result.status).toBe(status);
      const events = result.stdout.trim().split("\n");
      expect(
        events.map((line) => (JSON.parse(line) as { error: { kind: string } }).error.kind),
      ).toEqual([kind, kind]);
    }
  });

  test("leaves nothing open in the agent", async () => {
    const descriptors = () => shell(`ls /proc/${agent.running.pid}/fd | wc -l`);
    const before = Number((await descriptors()).stdout);
    for (const [args] of cases()) {
      await exec("--sandbox", "no-new-privs", ...args);
      await exec("-d", "-t", ...args);
    }
    await eventually("as many as before", async () => {
      return Number((await descriptors()).stdout) <= before;
    });
  });
});

describeUnshared(["-m"], "a guest without pseudo-terminals", (unshare) => {
  let bare: TestAgent;
  beforeAll(async () => {
    const hide = 'mount -t tmpfs none /dev/pts && exec "$0" "$@"';
    bare = await TestAgent.start([], { through: [...unshare, "sh", "-c", hide] });
  });
  afterAll(() => bare[Symbol.asyncDispose]());

  const sandboxes = [[[]], [["--sandbox", "no-new-privs"]]];

  test.each(sandboxes)("fails to start a detached terminal, with %j", async (way) => {
    const words = ["exec", "-d", "-t", ...way, bare.address];
    const plain = await vsockbox([...words, "--", "true"]);
    expect(plain).toMatchObject({ status: 125, stdout: "" });
    expect(plain.stderr).toMatch(/^vsockbox: [^\n]*terminal [^\n]*mount devpts[^\n]*\n$/);
    const json = await vsockbox([...words, "--json", "--", "true"]);
    expect(json.status).toBe(125);
    expect(JSON.parse(json.stdout)).toMatchObject({
      error: {
        code: "NOT_STARTED",
        kind: "pty_failed",
        stage: "terminal",
        errno: expect.any(String),
      },
    });
    expect(await vsockbox(["ps", "--json", bare.address])).toMatchObject({ status: 0, stdout: "" });
  });

  test.each([
    ["exec -t", (target: string) => ["exec", "-t", target, "--", "true"]],
    [
      "exec -t --sandbox",
      (target: string) => ["exec", "-t", "--sandbox", "no-new-privs", target, "--", "true"],
    ],
    ["shell", (target: string) => ["shell", target]],
  ])("fails %s, and restores the user's terminal", async (_name, words) => {
    await using terminal = new OwnTerminal();
    const { settings: before } = terminal;
    expect(await terminal.exited(terminal.run(words(bare.address)))).toBe(125);
    expect(terminal.settings).toBe(before);
    expect(terminal.text).toMatch(/^vsockbox: [^\r\n]*terminal [^\r\n]*mount devpts[^\r\n]*\r\n$/);
  });

  test("runs what needs none", async () => {
    const run = await vsockbox(["exec", bare.address, "--", "echo", "runs"]);
    expect(run).toMatchObject({ status: 0, stdout: "runs\n" });
  });
});

describe("ending a command that does not read its input", () => {
  test("--timeout does not wait for queued input", async () => {
    const { status, stderr } = await shell(
      `head -c 50000000 /dev/zero | vsockbox exec ${agent.address} --timeout 0.5 -- sleep 61.25`,
    );
    expect(status).toBe(124);
    expect(stderr).toBe("vsockbox: the command was ended: it ran longer than --timeout 500ms\n");
    expect(processesWith("sleep 61.25")).toEqual([]);
  });

  test("a signal does not wait for queued input", async () => {
    const line = "trap 'echo got it; exit 3' INT; echo up >&2; while :; do sleep 0.05; done";
    await using client = new Running(["exec", agent.address, "--", "sh", "-c", line]);
    await client.says("up");
    void (async () => {
      client.process.stdin.write(new Uint8Array(20_000_000));
      await client.process.stdin.flush();
    })().catch(() => undefined);
    client.process.kill("SIGINT");
    expect(await client.process.exited).toBe(3);
  });

  test("--timeout 0 means no limit", async () => {
    expect(await exec("--timeout", "0", "--", "sh", "-c", "sleep 0.1; exit 4")).toMatchObject({
      status: 4,
      stderr: "",
    });
  });

  test("a time-out prints one line with --json, too", async () => {
    const { status, stdout, stderr } = await exec(
      "--json",
      "--timeout",
      "0.2",
      "--",
      "sleep",
      "61.5",
    );
    expect(status).toBe(124);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(JSON.parse(stdout)).toMatchObject({ event: "exit", exit_code: 124, timed_out: true });
  });
});

describe("exec --detach", () => {
  test.each(["\u001b[2J", "a b", "", "x".repeat(65), "../x", "1\n2"])(
    "prints no id like %j",
    async (id) => {
      using _ = hostileAgent(scratch.file("hostile.sock"), (channel) => channel.finish({ id }));
      const address = `unix:${scratch.file("hostile.sock")}`;
      for (const json of [[], ["--json"]]) {
        const result = await vsockbox(["exec", "-d", ...json, address, "--", "true"]);
        expect(result.status).toBe(65);
        expect(result.stderr).toContain("its id is not an id");
        if (json.length === 0) expect(result.stdout).toBe("");
      }
    },
  );
});
