/** Listeners under more connections than they serve, and with fewer descriptors than they need. */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { closeDescriptor } from "../../src/ffi/socket.ts";
import {
  eventually,
  processesWith,
  ScratchDirectory,
  TestAgent,
  Running,
  vsockbox,
} from "../support/binary.ts";
import { isAtRest } from "../support/at-rest.ts";
import { connectUnix } from "../support/raw-vmm.ts";

const descriptors = (pid: number) => readdirSync(`/proc/${pid}/fd`).length;

/** Processor time of a process so far, user and system, in clock ticks of 10 ms. */
function ticks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

describe("without a free descriptor", () => {
  const services: Record<string, (socket: string) => string[]> = {
    agent: (socket) => ["agent", "--listen", socket],
    "shell-server": (socket) => ["shell-server", "--listen", socket],
    listen: (socket) => ["listen", socket, "-k", "--exec", "cat"],
  };

  test.each(["agent", "shell-server", "listen"])(
    "%s neither spins nor ends, and serves again later",
    async (name) => {
      using scratch = new ScratchDirectory();
      const path = scratch.file("s");
      await using service = new Running(services[name]?.(`unix:${path}`) ?? [], {
        through: ["prlimit", "--nofile=60:60"],
      });
      await eventually("it listens", () => {
        try {
          closeDescriptor(connectUnix(path));
          return true;
        } catch {
          return false;
        }
      });
      const held = Array.from({ length: 150 }, () => connectUnix(path));
      await service.says("cannot accept");
      const before = ticks(service.pid);
      await Bun.sleep(2000);
      // A loop that spins would use 200 of them, or its part of a busy machine.
      expect(ticks(service.pid) - before).toBeLessThan(20);
      expect(service.process.exitCode).toBeNull();
      for (const fd of held) closeDescriptor(fd);
      await eventually("descriptors are free again", () => descriptors(service.pid) < 45);
      closeDescriptor(connectUnix(path));
      if (name === "agent") {
        expect((await vsockbox(["exec", `unix:${path}`, "--", "true"])).status).toBe(0);
      }
    },
  );
});

describe("idle clients of metrics", () => {
  const NOFILE = 150;
  const few = { through: ["prlimit", `--nofile=${NOFILE}:${NOFILE}`] };

  /** Opens more connections than the process may have descriptors, and sends nothing. */
  async function holdMany(options: { path: string } | { host: string; port: number }) {
    const held = Array.from({ length: 2 * NOFILE }, () => connect(options));
    for (const socket of held) socket.on("error", () => undefined);
    await Promise.all(
      held.map(
        (socket) =>
          new Promise((resolve) => {
            socket.once("connect", resolve);
            socket.once("close", resolve);
          }),
      ),
    );
    return { [Symbol.dispose]: () => held.forEach((socket) => socket.destroy()) };
  }

  test.each(["unix", "tcp"])("do not exclude others from an agent, over %s", async (kind) => {
    using scratch = new ScratchDirectory();
    const path = scratch.file("m.sock");
    const address = kind === "unix" ? `unix:${path}` : "127.0.0.1:0";
    await using agent = await TestAgent.start(["--metrics", address], few);
    await agent.running.says("metrics are at");
    const port = Number(/127\.0\.0\.1:(\d+)/.exec(agent.running.stderr)?.[1]);
    const unix = kind === "unix" ? { unix: path } : {};
    const scrape = () => fetch(`http://127.0.0.1:${kind === "unix" ? 1 : port}/metrics`, unix);
    using _held = await holdMany(kind === "unix" ? { path } : { host: "127.0.0.1", port });
    for (let count = 0; count < 3; count++) expect((await scrape()).status).toBe(200);
    expect((await vsockbox(["exec", agent.address, "--", "true"])).status).toBe(0);
    expect(descriptors(agent.running.pid)).toBeLessThan(NOFILE - 20);
    await isAtRest(agent.running.pid);
  });

  test("do not exclude others from metrics --listen", async () => {
    using scratch = new ScratchDirectory();
    const path = scratch.file("m.sock");
    await using agent = await TestAgent.start();
    const words = ["metrics", "--listen", `unix:${path}`, agent.address];
    await using server = new Running(words, few);
    await server.says("metrics are at");
    using _held = await holdMany({ path });
    const response = await fetch("http://x/metrics", { unix: path });
    expect(await response.text()).toContain(`vsockbox_up{target="${agent.address}"} 1`);
    expect(descriptors(server.pid)).toBeLessThan(NOFILE - 20);
  });
});

test("a TCP port of the guest that is forwarded does not spin without a free descriptor, and serves again later", async () => {
  await using agent = await TestAgent.start([], { through: ["prlimit", "--nofile=60:60"] });
  const target = createServer(() => undefined);
  await new Promise<void>((resolve) => target.listen(0, "127.0.0.1", resolve));
  const to = `127.0.0.1:${(target.address() as AddressInfo).port}`;
  await using forward = new Running(["forward", agent.address, "-R", `127.0.0.1:0:${to}`]);
  await forward.says("forwarding");
  const port = Number(/127\.0\.0\.1:(\d+)/.exec(forward.stderr)?.[1]);
  const held = Array.from({ length: 150 }, () => connect({ host: "127.0.0.1", port }));
  for (const socket of held) socket.on("error", () => undefined);
  await Promise.all(
    held.map(
      (socket) =>
        new Promise((resolve) => {
          socket.once("connect", resolve);
          socket.once("close", resolve);
        }),
    ),
  );
  await eventually("its descriptors are used up", () => descriptors(agent.running.pid) >= 58);
  const before = ticks(agent.running.pid);
  await Bun.sleep(2000);
  expect(ticks(agent.running.pid) - before).toBeLessThan(20);
  for (const socket of held) socket.destroy();
  await eventually("descriptors are free again", () => descriptors(agent.running.pid) < 45);
  expect(agent.running.process.exitCode).toBeNull();
  target.close();
});

/** Of the client and the command itself: two processes a session. */
const SLEEP = "sleep 614.5";

describe("above --max-sessions", () => {
  test("a flood holds few descriptors and few lines of the log, and ends with its cause", async () => {
    await using agent = await TestAgent.start(["--max-sessions", "4"]);
    const busy = Array.from({ length: 4 }, () =>
      vsockbox(["exec", agent.address, "--", ...SLEEP.split(" ")]),
    );
    await eventually("all sessions are in use", () => processesWith(SLEEP).length >= 8);
    const before = descriptors(agent.running.pid);
    const held = Array.from({ length: 500 }, () => connectUnix(agent.path));
    await eventually("all have been looked at", async () => {
      const more = await vsockbox(["info", agent.address]);
      return more.status === 77 && more.stderr.includes("--max-sessions");
    });
    expect(descriptors(agent.running.pid) - before).toBeLessThan(40);
    expect(agent.running.stderr.split("4 sessions are open").length).toBeLessThan(5);
    for (const fd of held) closeDescriptor(fd);
    agent.running.process.kill("SIGTERM");
    await Promise.all(busy);
    await agent.running.process.exited;
    expect(agent.running.stderr).toMatch(/refused \d{3} more, 4 sessions are open/);
  });
});
