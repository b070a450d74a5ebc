/** What an agent runs ends with it, however the agent ends; other processes do not. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { encodeJsonFrame, FrameType } from "../../src/protocols/agent/frame.ts";
import { encodeMessage, Type } from "../../src/protocols/vsock-shell/message.ts";
import { processFacts, processIds } from "../../src/process/process-facts.ts";
import {
  eventually,
  Running,
  shell,
  ScratchDirectory,
  TestAgent,
  vsockbox,
} from "../support/binary.ts";
import { commandFrame, RawHost } from "../support/guest-exec.ts";
import { RawPeer } from "../support/raw-peer.ts";
import { TestShellServer } from "../support/vsock-shell.ts";

let scratch: ScratchDirectory;
let agent: TestAgent;
beforeEach(async () => {
  scratch = new ScratchDirectory();
  agent = await TestAgent.start();
});
afterEach(async () => {
  await agent[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

/** Of an ended process that is not collected yet, /proc has an empty command line. */
const isAlive = (pid: number) => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`).length > 0;
  } catch {
    return false;
  }
};

/** Waits for `count` pids, a line each, in a file. */
async function pidsIn(file: string, count: number): Promise<number[]> {
  const lines = () => (existsSync(file) ? readFileSync(file, "utf8") : "").split("\n").slice(0, -1);
  await eventually(`${count} processes`, () => lines().length >= count);
  return lines().map(Number);
}

/** The agent's helper that ends its commands; it has no other child without a session file. */
function guards(parent: number): number[] {
  return processIds().filter(
    (pid) => processFacts(pid)?.parent === parent && commandLine(pid).includes("__group-guard"),
  );
}

/** Waits for the helper: a command may run before its helper has started. */
async function guardOf(parent: number): Promise<number> {
  await eventually("there is a helper", () => guards(parent).length > 0);
  return guards(parent)[0] ?? 0;
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

const detach = (...words: string[]) =>
  vsockbox(["exec", "-d", agent.address, ...words]).then(({ status, stderr }) => {
    if (status !== 0) throw new Error(stderr);
  });

async function killAgent(): Promise<void> {
  agent.running.process.kill("SIGKILL");
  await agent.running.process.exited;
}

describe("kill -9 of the agent ends", () => {
  test("commands of clients, detached ones, and those on terminals with their jobs", async () => {
    const file = scratch.file("pids");
    const line = `echo $$ >> ${file}; sleep 1000 & echo $! >> ${file}; wait`;
    const pipes = new RawPeer(agent.path);
    pipes.send(encodeJsonFrame(FrameType.ExecPipe, { command: line }));
    const terminal = new RawPeer(agent.path);
    const jobs = `trap '' HUP TERM; set -m; ${line}`;
    terminal.send(encodeJsonFrame(FrameType.ExecTTY, { command: jobs, rows: 24, cols: 80 }));
    await detach("--", "sh", "-c", line);
    const pids = await pidsIn(file, 6);
    const guard = await guardOf(agent.running.pid);
    await killAgent();
    await eventually("they have ended", () => !pids.some(isAlive));
    await eventually("the helper as well", () => !isAlive(guard));
  });

  test.skipIf(process.getuid?.() !== 0)("what runs as another user", async () => {
    const file = scratch.file("pids");
    const line = `echo $$ >> ${file}; exec sleep 1000`;
    await vsockbox(["exec", agent.address, "--", "chmod", "777", scratch.path]);
    await detach("--user", "65534", "--", "sh", "-c", line);
    const pids = await pidsIn(file, 1);
    await killAgent();
    await eventually("it has ended", () => !pids.some(isAlive));
  });

  test.skipIf(process.getuid?.() !== 0)("PID namespaces with everything in them", async () => {
    const mark = `${process.pid}.5`;
    const line = `setsid sleep 7${mark} & sleep 7${mark}`;
    await detach("--sandbox", "pid-namespace", "--", "sh", "-c", line);
    const inside = () => processIds().filter((pid) => commandLine(pid) === `sleep\x007${mark}\0`);
    await eventually("both run", () => inside().length === 2);
    await killAgent();
    await eventually("neither runs", () => inside().length === 0);
  });

  test("commands that began before the helper itself was killed", async () => {
    const file = scratch.file("pids");
    await detach("--", "sh", "-c", `echo $$ >> ${file}; exec sleep 1000`);
    const pids = await pidsIn(file, 1);
    const first = await guardOf(agent.running.pid);
    process.kill(first, "SIGKILL");
    await eventually("there is another one", () =>
      guards(agent.running.pid).some((pid) => pid !== first),
    );
    await killAgent();
    await eventually("it has ended", () => !pids.some(isAlive));
  });
});

test("kill -9 of the agent spares processes in other sessions, and those of ended commands", async () => {
  const file = scratch.file("pids");
  const away = "</dev/null >/dev/null 2>&1";
  const { status } = await vsockbox([
    ...["exec", agent.address, "--", "sh", "-c"],
    `sleep 1000 ${away} & echo $! >> ${file}`,
  ]);
  expect(status).toBe(0);
  await detach(
    "--",
    "sh",
    "-c",
    `setsid sh -c 'echo $$ >> ${file}; exec sleep 1000' ${away} & wait`,
  );
  const detached = scratch.file("detached");
  await detach("--", "sh", "-c", `echo $$ >> ${detached}; exec sleep 1000`);
  const [running = 0] = await pidsIn(detached, 1);
  const pids = await pidsIn(file, 2);
  const guard = await guardOf(agent.running.pid);
  await killAgent();
  await eventually("the helper has ended", () => !isAlive(guard));
  expect(isAlive(running)).toBe(false);
  expect(pids.map(isAlive)).toEqual([true, true]);
  for (const pid of pids) process.kill(pid, "SIGKILL");
});

test("an agent that ends leaves no helper, and one without commands has none", async () => {
  expect(guards(agent.running.pid)).toEqual([]);
  await vsockbox(["exec", agent.address, "--", "true"]);
  const guard = await guardOf(agent.running.pid);
  agent.running.process.kill("SIGTERM");
  expect(await agent.running.process.exited).toBe(0);
  await eventually("it has ended", () => !isAlive(guard));
});

test("kill -9 of shell-server ends a session that ignores the hang-up", async () => {
  await using server = await TestShellServer.start();
  const file = scratch.file("pids");
  const peer = new RawPeer(server.path);
  const line = `trap '' HUP; echo $$ >> ${file}; sleep 1000; sleep 1000`;
  peer.send(encodeMessage(Type.OpenCommand, Buffer.from(`${line}\0`)));
  const pids = await pidsIn(file, 1);
  server.running.process.kill("SIGKILL");
  await eventually("it has ended", () => !pids.some(isAlive));
});

test("setsid -f starts what outlives kill -9 of the agent, as the documentation has it", async () => {
  const file = scratch.file("pids");
  const { status } = await shell(
    `vsockbox exec ${agent.address} -- setsid -f sh -c 'echo $$ >> ${file}; exec sleep 1000' > /dev/null`,
  );
  expect(status).toBe(0);
  const ended = scratch.file("ended");
  await detach("--", "sh", "-c", `echo $$ >> ${ended}; exec sleep 1000`);
  const [outliving = 0] = await pidsIn(file, 1);
  const [detached = 0] = await pidsIn(ended, 1);
  const guard = await guardOf(agent.running.pid);
  await killAgent();
  await eventually("the helper has ended", () => !isAlive(guard));
  expect([outliving, detached].map(isAlive)).toEqual([true, false]);
  process.kill(outliving, "SIGKILL");
});

describe("kill -9 of another command that starts commands ends these:", () => {
  const line = (file: string) =>
    `trap '' HUP; echo $$ >> ${file}; sleep 1000 & echo $! >> ${file}; wait`;

  test("listen --exec", async () => {
    const [path, file] = [scratch.file("l.sock"), scratch.file("pids")];
    await using listener = new Running(["listen", `unix:${path}`, "-k", "--exec", line(file)]);
    await listener.says("listening on");
    await using _client = new Running(["connect", `unix:${path}`]);
    const pids = await pidsIn(file, 2);
    const guard = await guardOf(listener.pid);
    listener.process.kill("SIGKILL");
    await eventually("they have ended", () => ![...pids, guard].some(isAlive));
  });

  test.each(["once", "persistent"])("guest-exec, %s", async (mode) => {
    const [path, file] = [scratch.file("h.sock"), scratch.file("pids")];
    await using host = await RawHost.listen(path);
    await using guest = new Running(["guest-exec", `unix:${path}`, mode]);
    const socket = await host.guest();
    if (mode === "persistent") socket.write(commandFrame(line(file)));
    else socket.end(line(file));
    const pids = await pidsIn(file, 2);
    const guard = await guardOf(guest.pid);
    guest.process.kill("SIGKILL");
    await eventually("they have ended", () => ![...pids, guard].some(isAlive));
  });
});

describe("signals to the agent", () => {
  const { signals } = constants;
  const IGNORED = [
    ...[signals.SIGUSR1, signals.SIGUSR2, signals.SIGALRM, signals.SIGVTALRM, signals.SIGPROF],
    ...[signals.SIGIO, signals.SIGPWR, signals.SIGSTKFLT, signals.SIGXCPU, signals.SIGXFSZ],
    ...[35, 50, 64],
  ];

  test.each(IGNORED)("%d is ignored, also while a command runs", async (signal) => {
    const running = vsockbox(["exec", agent.address, "--", "cat"], { stdin: "still here" });
    process.kill(agent.running.pid, signal);
    expect(await running).toMatchObject({ status: 0, stdout: "still here" });
    const { stdout } = await vsockbox(["exec", agent.address, "--", "echo", "yes"]);
    expect(stdout).toBe("yes\n");
  });

  test.each(["SIGHUP", "SIGTERM", "SIGINT", "SIGQUIT"] as const)(
    "%s ends its commands, then itself",
    async (signal) => {
      const file = scratch.file("pids");
      await detach("--", "sh", "-c", `echo $$ >> ${file}; exec sleep 1000`);
      const pids = await pidsIn(file, 1);
      agent.running.process.kill(signal);
      expect(await agent.running.process.exited).toBe(0);
      expect(pids.some(isAlive)).toBe(false);
      expect(agent.running.stderr).toContain("1 detached ended");
      expect(existsSync(agent.path)).toBe(false);
    },
  );

  test("commands begin with every signal at its default action", async () => {
    const { stdout } = await vsockbox([
      "exec",
      agent.address,
      "--",
      "grep",
      "SigIgn",
      "/proc/self/status",
    ]);
    expect(stdout).toBe("SigIgn:\t0000000000000000\n");
  });
});
