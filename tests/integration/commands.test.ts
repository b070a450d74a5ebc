/** What all commands have in common, and the small ones. */
import { describe, expect, test } from "bun:test";
import { readdirSync, symlinkSync } from "node:fs";
import { COMMANDS } from "../../src/commands/index.ts";
import {
  BINARY,
  eventually,
  Running,
  shell,
  ScratchDirectory,
  TestAgent,
  vsockbox,
} from "../support/binary.ts";
import { hostileAgent } from "../support/hostile-agent.ts";

/** What the executable prints where all its streams are one terminal. */
async function onTerminal(env: Record<string, string>, ...words: string[]): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  const ended = Promise.withResolvers<void>();
  const process = Bun.spawn([BINARY, ...words], {
    env: { TERM: "xterm", VSOCKBOX_NO_VSOCK: "1", ...env },
    terminal: {
      data: (_, bytes) => void (text += decoder.decode(bytes, { stream: true })),
      exit: () => ended.resolve(),
    },
  });
  await process.exited;
  await ended.promise;
  return text;
}

describe("vsockbox", () => {
  test("--version, as text and as JSON", async () => {
    const { version } = (await import("../../package.json")) as { version: string };
    expect((await vsockbox(["--version"])).stdout).toStartWith(`vsockbox ${version} (`);
    const facts = JSON.parse((await vsockbox(["--version", "--json"])).stdout) as object;
    expect(facts).toEqual({
      version,
      commit: expect.stringMatching(/^([0-9a-f]{40}(-dirty)?|unknown)$/),
      target: expect.stringMatching(/^linux-/),
      bun: Bun.version,
    });
  });

  test("without a word, with help and with --help: all commands", async () => {
    const outputs = await Promise.all([[], ["help"], ["--help"]].map((words) => vsockbox(words)));
    for (const { stdout, status } of outputs) {
      expect(status).toBe(0);
      for (const { name } of COMMANDS) expect(stdout).toContain(`  ${name} `);
    }
  });

  test.each(COMMANDS.map(({ name }) => name))(
    "%s --help has usage and examples, plain without a terminal",
    async (name) => {
      const { stdout, status } = await vsockbox([name, "--help"]);
      expect([status, stdout]).toEqual([
        0,
        expect.stringMatching(/Usage: vsockbox [^]*\nExamples:\n/),
      ]);
      expect(stdout).not.toContain("\u001B");
    },
  );

  test("on a terminal help has colours, and none with NO_COLOR", async () => {
    const names = COMMANDS.map(({ name }) => [name, "--help"]);
    for (const words of [["--help"], ...names]) {
      const text = await onTerminal({}, ...words);
      expect(text).toContain("\u001B[1m");
      expect(text).not.toContain("?[");
      const wordsOf = (shown: string) => shown.trim().split(/\s+/);
      const plain = await onTerminal({ NO_COLOR: "1" }, ...words);
      expect(wordsOf(plain)).toEqual(wordsOf(Bun.stripANSI(text)));
    }
  });

  test.each(["dumb", ""])("a terminal with TERM=%p gets no escape sequences", async (TERM) => {
    for (const words of [
      ["--help"],
      ["exec", "--help"],
      ["wait", "unix:/nobody", "--timeout", "1"],
    ]) {
      const text = await onTerminal({ TERM }, ...words);
      expect(text).not.toBe("");
      expect(text).not.toContain("\u001B");
    }
  });

  test.each([
    [["exce"], "did you mean `vsockbox exec`?"],
    [["exec", "--bogus", "3", "ls"], "unknown option --bogus"],
    [["exec"], "TARGET is missing"],
    [["exec", "3:", "ls"], "addresses: 3, 3:5000"],
    [["connect", "3"], "the port is missing"],
    [["connect", "vsock::5000"], "name a CID"],
    [["listen", "vsock:3"], "the port is missing"],
    [
      ["listen", "vsock::1", "--allow-cid", "x"],
      'invalid value "x" for --allow-cid: expected CIDs',
    ],
    [["wait", "3", "--timeout", "x"], 'invalid value "x" for --timeout: expected a duration'],
    [["agent", "--max-frame", "0"], 'invalid value "0" for --max-frame: expected a size from 1 to'],
    [["--version", "x"], 'unexpected argument "x"'],
  ])("%j is a usage error with a hint", async (words, message) => {
    // Without VSOCKBOX_NO_VSOCK the order of the checks could hide a socket that is opened first.
    expect(await vsockbox(words)).toEqual({
      status: 64,
      stdout: "",
      stderr: expect.stringContaining(message),
    });
  });

  test("the error about an unknown profile names the files that were searched", async () => {
    using scratch = new ScratchDirectory();
    const result = await vsockbox(["exec", "web", "ls"], {
      env: { XDG_CONFIG_HOME: scratch.path },
    });
    expect(result).toMatchObject({
      status: 78,
      stderr: expect.stringContaining(`${scratch.path}/vsockbox/config.yaml`),
    });
  });

  test("a profile is as good as its address", async () => {
    using scratch = new ScratchDirectory();
    const line = `mkdir -p $XDG_CONFIG_HOME/vsockbox; printf 'vms:\\n  box:\\n    address: unix:%s/a.sock\\n' "$XDG_CONFIG_HOME" > $XDG_CONFIG_HOME/vsockbox/config.yaml
      vsockbox agent --listen box -q & agent=$!; vsockbox wait box && vsockbox exec box -- echo found; kill $agent; wait`;
    const result = await shell(line, { env: { XDG_CONFIG_HOME: scratch.path } });
    expect(result).toMatchObject({ stdout: "found\n" });
  });

  test("files in the current directory do not change its behaviour", async () => {
    using scratch = new ScratchDirectory();
    await Bun.write(scratch.file(".env"), "VSOCKBOX_NO_VSOCK=0\nNO_COLOR=\n");
    await Bun.write(scratch.file("bunfig.toml"), 'preload = ["./evil.ts"]\n');
    await Bun.write(scratch.file("evil.ts"), "throw new Error('loaded');\n");
    const result = await vsockbox(["cid"], { cwd: scratch.path });
    expect(result).toMatchObject({
      status: 77,
      stderr: expect.stringContaining("VSOCKBOX_NO_VSOCK=1"),
    });
  });
});

describe("smoke over a Unix socket", () => {
  test("passes all its checks", async () => {
    using scratch = new ScratchDirectory();
    const { status, stdout } = await vsockbox([
      "smoke",
      `unix:${scratch.file("s.sock")}`,
      "--json",
    ]);
    const report = JSON.parse(stdout) as { ok: boolean; checks: { name: string; ok: boolean }[] };
    expect(report.checks.map(({ name, ok }) => [name, ok])).toEqual([
      ["listen and connect", true],
      ["half-close", true],
      ["dead port", true],
      ["seqpacket", true],
      ["exec", true],
      ["transfer", true],
    ]);
    expect([status, report.ok]).toEqual([0, true]);
  });

  test("never opens AF_VSOCK without consent", async () => {
    expect(await vsockbox(["smoke"], { env: { VSOCKBOX_NO_VSOCK: "1" } })).toMatchObject({
      status: 64,
      stderr: expect.stringContaining("--yes-use-vsock"),
    });
  });

  test("names the failed check and exits with status 69", async () => {
    const { status, stdout } = await vsockbox(["smoke", "unix:/nonexistent/s.sock"]);
    expect(status).toBe(69);
    expect(stdout).toContain("FAIL listen and connect");
    expect(stdout).toEndWith("FAILED\n");
  });
});

describe("smoke --target", () => {
  interface Report {
    ok: boolean;
    address: string;
    checks: { name: string; ok: boolean; detail: string; hint?: string; duration_ms: number }[];
  }
  const NAMES = ["agent", "ping", "exec", "streams", "files", "dial and listen"];

  test("passes all its checks with an agent, and leaves nothing in the guest", async () => {
    await using agent = await TestAgent.start();
    const { status, stdout } = await vsockbox(["smoke", "--target", agent.address, "--json"]);
    const report = JSON.parse(stdout) as Report;
    expect(report.checks.map(({ name, ok }) => [name, ok])).toEqual(
      NAMES.map((name) => [name, true]),
    );
    expect([status, report.ok, report.address]).toEqual([0, true, agent.address]);
    const text = await vsockbox(["smoke", "--target", agent.address]);
    expect(text.stdout.trim().split("\n")).toHaveLength(NAMES.length + 1);
    await eventually("its directories are removed", () =>
      readdirSync("/tmp").every((name) => !name.startsWith("vsockbox-smoke-")),
    );
  });

  test("through a hybrid socket", async () => {
    await using agent = await TestAgent.start();
    const uds = agent.scratch.file("vm");
    const words = ["bridge", "--uds-path", uds, "--to", `unix:${agent.path}`];
    await using bridge = new Running(words);
    await bridge.says("listening on");
    await using inGuest = new Running(["agent", "--listen", `unix:${agent.path}_5000`]);
    await inGuest.says("listening on");
    expect(await vsockbox(["smoke", "--target", `hybrid:${uds}`])).toMatchObject({ status: 0 });
  });

  test("fails with each check that fails, and goes on with the next", async () => {
    using scratch = new ScratchDirectory();
    using _agent = hostileAgent(scratch.file("a"), (channel, request) => {
      if (request["op"] === "exec") channel.finish({ exit_code: 0 });
      else channel.finish();
    });
    const words = ["smoke", "--target", `unix:${scratch.file("a")}`, "--json"];
    const { status, stdout } = await vsockbox(words);
    const report = JSON.parse(stdout) as Report;
    expect([status, report.ok]).toEqual([69, false]);
    const ended = report.checks.map(({ name, ok }) => [name, ok]);
    expect(ended.slice(0, 5)).toEqual([
      ["agent", true],
      ["ping", true],
      ["exec", false],
      ["streams", false],
      ["files", false],
    ]);
    expect(report.checks[2]?.detail).toContain("expected input");
  });

  test("ends with the first check if there is no agent", async () => {
    const run = await vsockbox(["smoke", "--target", "unix:/nonexistent/a", "--json"]);
    expect(run.status).toBe(69);
    const { checks } = JSON.parse(run.stdout) as Report;
    expect(checks).toMatchObject([{ name: "agent", ok: false, hint: expect.any(String) }]);
    const both = await vsockbox(["smoke", "unix:/x", "--target", "unix:/y"]);
    expect(both).toMatchObject({
      status: 64,
      stderr: expect.stringContaining("cannot be used with"),
    });
  });
});

describe("demo", () => {
  test("without QEMU and User-mode Linux runs over a Unix socket and reports it", async () => {
    using tools = new ScratchDirectory();
    for (const name of ["sh", "tr", "uname", "sleep"]) {
      symlinkSync(Bun.which(name) ?? "", tools.file(name));
    }
    const { status, stdout, stderr } = await vsockbox(["demo"], { env: { PATH: tools.path } });
    expect(stderr).toContain("apt-get install qemu-system-x86");
    expect(stdout).toContain("HELLO, GUEST");
    expect(stdout).toContain("Done: 6 commands over a Unix socket.");
    expect(status).toBe(0);
  });

  test("--local --json prints each step", async () => {
    const { stdout } = await vsockbox(["demo", "--local", "--json"]);
    const report = JSON.parse(stdout) as { ok: boolean; steps: { ok: boolean; status: number }[] };
    expect(report.ok).toBe(true);
    expect(report.steps.map(({ status }) => status)).toEqual([0, 0, 0, 0, 7, 124]);
  });

  test("a guest that was asked for by name and cannot be is an error", async () => {
    using tools = new ScratchDirectory();
    const missing = await vsockbox(["demo", "--vmm", "uml"], { env: { PATH: tools.path } });
    expect(missing).toMatchObject({ status: 69, stdout: "" });
    expect(missing.stderr).toContain("apt-get install user-mode-linux");
    expect((await vsockbox(["demo", "--vmm", "xen"])).status).toBe(64);
    expect((await vsockbox(["demo", "--vmm", "uml", "--local"])).status).toBe(64);
  });
});
