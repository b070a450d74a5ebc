/**
 * `doctor` on set-ups that are broken on purpose, over Unix sockets: the finding, and that the command
 * which it names fixes it. Those that need AF_VSOCK are in tests/vm/doctor.ts.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FEATURES } from "../../src/protocols/agent/hello.ts";
import { hostileAgent } from "../support/hostile-agent.ts";
import { parseFindings, type ShownFinding } from "../support/doctor-run.ts";
import {
  BINARY,
  eventually,
  Running,
  type RunOptions,
  ScratchDirectory,
  shell,
  TestAgent,
  vsockbox,
} from "../support/binary.ts";

interface Examined {
  status: number;
  ok: boolean;
  target: string | null;
  findings: ShownFinding[];
  /** The findings that are not as they should be. */
  bad: ShownFinding[];
}

async function doctor(words: string[], options?: RunOptions): Promise<Examined> {
  const { status, stdout, stderr } = await vsockbox(["doctor", "--json", ...words], options);
  expect(stderr).toBe("");
  return { status, ...parseFindings(stdout) };
}

/** The command of the only bad finding, which is checked against `expected`. */
function fixOf({ bad }: Examined, expected: Partial<ShownFinding>): string {
  expect(bad).toMatchObject([expected]);
  return bad[0]?.fix ?? "";
}

const codes = ({ findings }: Examined) => findings.map(({ code }) => code);
const AGENT_CODES = ["address", "socket", "connection", "agent", "clock", "limits"];

let scratch: ScratchDirectory;
beforeAll(() => {
  scratch = new ScratchDirectory();
});
afterAll(() => scratch[Symbol.dispose]());

async function listening(words: string[], path: string): Promise<Running> {
  const service = new Running([...words, "--listen", `unix:${path}`]);
  await service.says("listening on");
  return service;
}

describe("an agent that works", () => {
  test("has no problems, step by step", async () => {
    await using agent = await TestAgent.start();
    const examined = await doctor([agent.address]);
    expect(examined).toMatchObject({ status: 0, ok: true, target: agent.address, bad: [] });
    expect(codes(examined)).toEqual(AGENT_CODES);
    expect(examined.findings[1]?.message).toContain(`vsockbox agent (pid ${agent.running.pid})`);
    const { stdout, status } = await vsockbox(["doctor", agent.address]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^ok +unix:\S+\n(ok +.*\n){5}no problems found\n$/);
  });
});

describe("an agent of another version", () => {
  test("lacks features: the command copies this version", async () => {
    const path = scratch.file("older.sock");
    const features = FEATURES.filter((name) => name !== "argv");
    using _agent = hostileAgent(path, () => undefined, { version: "vsockbox 0.0", features });
    const examined = await doctor([`unix:${path}`, "--connect-timeout", "2", "--keepalive", "1"]);
    expect(examined).toMatchObject({ status: 0, target: `unix:${path}` });
    const fix = fixOf(examined, {
      severity: "warning",
      code: "agent-older",
      message: expect.stringMatching(/^vsockbox 0.0 answers, .*the agent lacks argv$/) as never,
    });
    expect(fix).toBe(`vsockbox cp "$(command -v vsockbox)" unix:${path}:/usr/local/bin/vsockbox`);
  });

  test("answers no request but its Hello", async () => {
    const path = scratch.file("half.sock");
    // Its connection is read by no channel.
    using _agent = hostileAgent(path, () => undefined, { isSilent: true });
    const examined = await doctor([`unix:${path}`, "--connect-timeout", "1"]);
    expect(examined).toMatchObject({ status: 75, bad: [{ code: "peer-silent" }] });
  });

  test("has features that this side lacks, with safe names", async () => {
    const path = scratch.file("newer.sock");
    using _agent = hostileAgent(path, () => undefined, {
      features: [...FEATURES, "\u001b[31mnew"],
    });
    const { findings } = await doctor([
      `unix:${path}`,
      "--connect-timeout",
      "2",
      "--keepalive",
      "1",
    ]);
    const newer = findings.find(({ code }) => code === "agent-newer");
    expect(newer?.message).toEndWith("this side lacks \\x1b[31mnew");
  });
});

test("a profile is named with its address", async () => {
  await using agent = await TestAgent.start();
  const directory = scratch.file("named/vsockbox");
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "config.yaml"), `vms:\n  web:\n    address: ${agent.address}\n`);
  const examined = await doctor(["web"], { env: { XDG_CONFIG_HOME: scratch.file("named") } });
  expect(examined).toMatchObject({ status: 0, target: agent.address, bad: [] });
  expect(examined.findings[0]?.message).toBe(`web is ${agent.address}`);
});

describe("broken on purpose", () => {
  test("AF_VSOCK is switched off", async () => {
    for (const words of [[], ["3"]]) {
      const examined = await doctor(words, {
        env: { VSOCKBOX_NO_VSOCK: "1", XDG_RUNTIME_DIR: scratch.path },
      });
      expect(examined.status).toBe(77);
      expect(examined.findings[0]).toMatchObject({
        severity: "error",
        code: "vsock-disabled",
        fix: "unset VSOCKBOX_NO_VSOCK",
      });
    }
  });

  test("no socket: an agent makes it", async () => {
    const address = `unix:${scratch.file("missing.sock")}`;
    const examined = await doctor([address]);
    expect(examined.status).toBe(69);
    const fix = fixOf(examined, { severity: "error", code: "socket-missing" });
    await startedBy(fix, address);
  });

  test("a stale socket: an agent replaces it", async () => {
    const path = scratch.file("stale.sock");
    await using agent = await listening(["agent"], path);
    await agent[Symbol.asyncDispose]();
    const examined = await doctor([`unix:${path}`]);
    expect(examined.status).toBe(69);
    const fix = fixOf(examined, { severity: "error", code: "socket-stale" });
    await startedBy(fix, `unix:${path}`);
  });

  test("a stale socket of a VMM", async () => {
    const directory = scratch.file("run");
    mkdirSync(directory);
    const path = join(directory, "vm.vsock");
    const proxy = new Running(["hybrid-proxy", "--socket", scratch.file("v"), "--uds-path", path]);
    await proxy.says("waiting for its VMM");
    const env = { XDG_RUNTIME_DIR: directory };
    const found = async () =>
      (await doctor([], { env })).findings.filter(({ message }) => message.includes(path));
    expect(await found()).toMatchObject([
      {
        severity: "ok",
        code: "hybrid-socket",
        message: expect.stringContaining(`vsockbox hybrid-proxy (pid ${proxy.pid})`),
      },
    ]);
    await proxy[Symbol.asyncDispose]();
    const [stale] = await found();
    expect(stale).toMatchObject({ severity: "warning", code: "socket-stale" });
    expect((await doctor([`hybrid:${path}`])).bad).toMatchObject([
      { code: "socket-stale", fix: stale?.fix },
    ]);
    expect(await shell(stale?.fix ?? "")).toMatchObject({ status: 0 });
    expect(await found()).toEqual([]);
  });

  test("a wrong port", async () => {
    const [inner, outer] = [scratch.file("inner"), scratch.file("vm.sock")];
    await using _agent = await listening(["agent"], `${inner}_5000`);
    await using bridge = new Running(["bridge", "--uds-path", outer, "--to", `unix:${inner}`]);
    await bridge.says("listening on");
    const examined = await doctor([`hybrid:${outer}:4711`]);
    expect(examined.status).toBe(69);
    const fix = fixOf(examined, {
      severity: "error",
      code: "port-wrong",
      message: `no process listens on port 4711, but an agent answers at hybrid:${outer}:5000`,
    });
    expect(await shell(fix)).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("no problems found"),
    });
  });

  test("an agent that is stopped", async () => {
    await using agent = await TestAgent.start();
    agent.running.process.kill("SIGSTOP");
    const examined = await doctor([agent.address, "--connect-timeout", "1"]);
    expect(examined.status).toBe(75);
    const fix = fixOf(examined, {
      severity: "error",
      code: "peer-stopped",
      message: `vsockbox agent (pid ${agent.running.pid}) is stopped`,
    });
    expect(await shell(fix)).toMatchObject({ status: 0 });
    expect(await doctor([agent.address])).toMatchObject({ status: 0, bad: [] });
  });

  test("a VMM that is stopped", async () => {
    const path = scratch.file("stopped.vsock");
    await using proxy = new Running([
      "hybrid-proxy",
      "--socket",
      scratch.file("w"),
      "--uds-path",
      path,
    ]);
    await proxy.says("waiting for its VMM");
    proxy.process.kill("SIGSTOP");
    const examined = await doctor([`hybrid:${path}`, "--connect-timeout", "1"]);
    expect(examined.status).toBe(75);
    const fix = fixOf(examined, {
      code: "peer-stopped",
      message: expect.stringContaining("hybrid-proxy"),
    });
    expect(await shell(fix)).toMatchObject({ status: 0 });
    expect(await doctor([`hybrid:${path}`])).toMatchObject({
      status: 69,
      bad: [{ code: "guest-port-closed" }],
    });
  });

  test("an old agent", async () => {
    const path = scratch.file("go.sock");
    // The command copies to /usr/local/bin, which is a directory of the test in the agent's namespace.
    const bin = scratch.file("bin");
    mkdirSync(bin);
    const script = join(import.meta.dir, "../fixtures/go-agent.ts");
    const line = `mount --bind ${bin} /usr/local/bin && exec ${process.execPath} ${script} ${path}`;
    const old = Bun.spawn(["unshare", "--mount", "sh", "-c", line]);
    try {
      await eventually(
        "it listens",
        async () => (await vsockbox(["exec", `unix:${path}`, "--", "true"])).status === 0,
      );
      const examined = await doctor([`unix:${path}`]);
      expect(examined.status).toBe(0);
      const fix = fixOf(examined, { severity: "warning", code: "agent-old" });
      expect((await doctor([`unix:${path}`, "--strict"])).status).toBe(78);
      expect(await shell(fix)).toMatchObject({ status: 0 });
    } finally {
      old.kill("SIGKILL");
      await old.exited;
    }
    rmSync(path, { force: true });
    await using _agent = await (async () => {
      const agent = new Running(["agent", "--listen", `unix:${path}`], {
        binary: join(bin, "vsockbox"),
      });
      await agent.says("listening on");
      return agent;
    })();
    expect(await doctor([`unix:${path}`])).toMatchObject({ status: 0, bad: [] });
  });
});

/** Runs a command that goes on running, until the address has no problems. */
async function startedBy(command: string, address: string): Promise<void> {
  const words = command.split(" ");
  expect(words.shift()).toBe("vsockbox");
  await using service = new Running(words, { binary: BINARY });
  await service.says("listening on");
  expect(await doctor([address])).toMatchObject({ status: 0, bad: [] });
}

describe("a wrong service", () => {
  test("a vsock-shell server", async () => {
    const path = scratch.file("shell.sock");
    await using _server = await listening(["shell-server"], path);
    const examined = await doctor([`unix:${path}`]);
    expect(examined.status).toBe(65);
    const fix = fixOf(examined, { severity: "error", code: "service-wrong" });
    expect(await shell(`${fix} 'echo reached'`)).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("reached"),
    });
  });

  test("a web server", async () => {
    const path = scratch.file("web.sock");
    const server = Bun.serve({ unix: path, fetch: () => new Response("reached") });
    try {
      const examined = await doctor([`unix:${path}`, "--connect-timeout", "2"]);
      expect(examined.status).toBe(65);
      const fix = fixOf(examined, {
        code: "service-wrong",
        message: expect.stringContaining("web server"),
      });
      const request = "printf 'GET / HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n'";
      expect(await shell(`${request} | ${fix}`)).toMatchObject({
        stdout: expect.stringContaining("reached"),
      });
    } finally {
      await server.stop(true);
    }
  });

  test("a device's socket for its VMM, in either form", async () => {
    const path = scratch.file("vhost.socket");
    await using proxy = new Running([
      ...["hybrid-proxy", "--socket", path, "--uds-path", scratch.file("vhost.vsock")],
    ]);
    await proxy.says("waiting for its VMM");
    for (const form of ["unix", "hybrid"]) {
      const examined = await doctor([`${form}:${path}`]);
      expect(examined).toMatchObject({
        status: 65,
        bad: [
          {
            code: "service-wrong",
            message: `${path} is the vhost-user socket of a device for its VMM`,
            hint: expect.stringContaining("--uds-path"),
          },
        ],
      });
    }
  });

  test("an agent's plain socket as hybrid:, and a VMM's socket as unix:", async () => {
    await using agent = await TestAgent.start();
    const plain = await doctor([`hybrid:${agent.path}`]);
    expect(plain.status).toBe(65);
    expect(await shell(fixOf(plain, { code: "service-wrong" }))).toMatchObject({ status: 0 });

    const [inner, outer] = [scratch.file("in"), scratch.file("out.sock")];
    await using _agent = await listening(["agent"], `${inner}_5000`);
    await using bridge = new Running(["bridge", "--uds-path", outer, "--to", `unix:${inner}`]);
    await bridge.says("listening on");
    const hybrid = await doctor([`unix:${outer}`]);
    expect(hybrid.status).toBe(65);
    expect(await shell(fixOf(hybrid, { code: "service-wrong" }))).toMatchObject({ status: 0 });
  });
});

describe("a refusal", () => {
  const TOKEN = "a-token-of-enough-characters";

  test("of a client without the token, or with another one", async () => {
    for (const [name, text] of [
      ["right", TOKEN],
      ["wrong", `${TOKEN}-no`],
    ] as const) {
      writeFileSync(scratch.file(name), text, { mode: 0o600 });
    }
    await using agent = await TestAgent.start(["--token-file", scratch.file("right")]);
    const without = await doctor([agent.address]);
    expect(without).toMatchObject({ status: 77, bad: [{ code: "token-missing" }] });
    const wrong = await doctor([agent.address, "--token-file", scratch.file("wrong")]);
    expect(wrong).toMatchObject({ status: 77, bad: [{ code: "token-wrong" }] });
    const right = await doctor([agent.address, "--token-file", scratch.file("right")]);
    expect(right).toMatchObject({ status: 0, bad: [] });
  });

  test("of an agent without a token", async () => {
    writeFileSync(scratch.file("own"), TOKEN, { mode: 0o600 });
    await using agent = await TestAgent.start();
    const examined = await doctor([agent.address, "--token-file", scratch.file("own")]);
    expect(examined.status).toBe(77);
    expect(await shell(fixOf(examined, { code: "agent-without-token" }))).toMatchObject({
      status: 0,
    });
  });

  test("of an agent with all its sessions in use", async () => {
    await using agent = await TestAgent.start(["--max-sessions", "1"]);
    await using holder = new Running([
      "exec",
      agent.address,
      "--",
      "sh",
      "-c",
      "echo up >&2; sleep 99",
    ]);
    await holder.says("up");
    expect(await doctor([agent.address])).toMatchObject({
      status: 77,
      bad: [{ code: "agent-full" }],
    });
  });
});

describe("this machine", () => {
  test("its profiles: broken ones, and token files that others can read", async () => {
    const directory = scratch.file("config/vsockbox");
    mkdirSync(directory, { recursive: true });
    const env = { XDG_CONFIG_HOME: scratch.file("config"), XDG_RUNTIME_DIR: scratch.path };
    const token = scratch.file("token");
    writeFileSync(token, "a-token-of-enough-characters", { mode: 0o644 });
    const config = join(directory, "config.yaml");
    const profiles = async () =>
      (await doctor([], { env })).findings.filter(({ code }) => /^(profiles|token)/.test(code));
    writeFileSync(config, `vms:\n  web:\n    address: 3\n    token_file: ${token}\n`);
    const [, open] = await profiles();
    expect(open).toMatchObject({ severity: "warning", code: "token-file" });
    expect(await shell(open?.fix ?? "")).toMatchObject({ status: 0 });
    expect(await profiles()).toMatchObject([{ severity: "ok", code: "profiles" }]);
    writeFileSync(config, "vms: 3\n");
    expect(await profiles()).toMatchObject([{ severity: "error", code: "profiles-invalid" }]);
  });
});
