/** A live agent against thousands of connections that keep to no rule. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { AgentClient } from "../../src/agent/client/agent-client.ts";
import { eventually, ScratchDirectory, TestAgent, vsockbox } from "../support/binary.ts";
import { FLOODS, flood, play, Scripts } from "./live.ts";
import { Random } from "./random.ts";

const CONNECTIONS = 16_000;
const SIDE_BY_SIDE = 16;
const SEED = 11;

/** What the agent may hold afterwards, in bytes. */
const RSS_MAX_BYTES = 200 * 1000 * 1000;

const descriptors = (pid: number) => readdirSync(`/proc/${pid}/fd`).length;

function children(pid: number): number {
  const { stdout } = Bun.spawnSync(["ps", "--ppid", String(pid), "-o", "pid="]);
  return stdout.toString().split("\n").filter(Boolean).length;
}

function rssBytes(pid: number): number {
  const found = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(found?.[1]) * 1024;
}

async function info(path: string) {
  await using client = await AgentClient.connect({ kind: "unix", path });
  return await client.request({ op: "info" });
}

async function stillServes(agent: TestAgent) {
  const result = await vsockbox(["exec", agent.address, "--", "echo", "still here"]);
  expect(result).toMatchObject({ status: 0, stdout: "still here\n" });
}

test("the agent outlives every connection, and keeps nothing of them", async () => {
  using scratch = new ScratchDirectory();
  await using agent = await TestAgent.start();
  const { pid } = agent.running;
  await stillServes(agent);
  await info(agent.path);
  const before = { descriptors: descriptors(pid), children: children(pid) };

  let next = 0;
  const one = async () => {
    while (next < CONNECTIONS) {
      const random = new Random();
      random.begin(SEED, next++);
      await play(agent.path, new Scripts(random, scratch.path).next());
    }
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, one));

  await stillServes(agent);
  await eventually("all sessions are over", async () => (await info(agent.path))["sessions"] === 1);
  await eventually("no child is left", () => children(pid) === before.children);
  await eventually("no descriptor is left", () => descriptors(pid) <= before.descriptors);
  expect(await info(agent.path)).toMatchObject({ sessions: 1, detached: 0 });
  expect(rssBytes(pid)).toBeLessThan(RSS_MAX_BYTES);
  expect(agent.running.process.exitCode).toBeNull();
}, 120_000);

test.each(FLOODS.map((one) => [one.name, one] as const))(
  "a host that never reads does not use up memory: %s",
  async (_, one) => {
    await using agent = await TestAgent.start();
    const { pid } = agent.running;
    // The first command brings a helper and descriptors that stay.
    await stillServes(agent);
    await eventually("its session is over", async () => (await info(agent.path))["sessions"] === 1);
    const before = descriptors(pid);
    let most = 0;
    await flood(agent.path, one, () => {
      most = Math.max(most, rssBytes(pid));
    });
    expect(most).toBeLessThan(RSS_MAX_BYTES);
    await stillServes(agent);
    await eventually("its session is over", async () => (await info(agent.path))["sessions"] === 1);
    await eventually("no descriptor is left", () => descriptors(pid) <= before);
  },
  60_000,
);
