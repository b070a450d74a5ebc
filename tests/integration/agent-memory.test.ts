/** One limit for all buffers of an agent, whatever fills them. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { AgentClient } from "../../src/agent/client/agent-client.ts";
import { encodeJsonFrame, FrameType } from "../../src/protocols/agent/frame.ts";
import { eventually, TestAgent, vsockbox } from "../support/binary.ts";
import { json, RawPeer } from "../support/raw-peer.ts";

const MIB = 1024 * 1024;
const LIMIT_BYTES = 32 * MIB;
const limit = ["--max-memory", String(LIMIT_BYTES)];

/** Resident memory of a process, in bytes; proc(5). */
function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

interface Session {
  state: string;
  output: { from: number; to: number };
}

const buffersOf = async (client: AgentClient) =>
  (await client.request({ op: "info" }))["buffers"] as { used_bytes: number; limit_bytes: number };

const sessionsOf = async (client: AgentClient) =>
  (await client.request({ op: "sessions" }))["sessions"] as Session[];

describe("--max-memory", () => {
  test("holds for the output of many detached commands, which share it", async () => {
    await using agent = await TestAgent.start(limit);
    await using client = await AgentClient.connect({ kind: "unix", path: agent.path });
    const before = residentBytes(agent.running.pid);
    const line = "head -c 20000000 /dev/zero | tr '\\0' x; echo; echo the end";
    for (let count = 0; count < 20; count++) {
      const { status } = await vsockbox([
        "exec",
        "-d",
        agent.address,
        "--name",
        `n${count}`,
        "-c",
        line,
      ]);
      expect(status).toBe(0);
    }
    await eventually(
      "all have ended",
      async () => (await sessionsOf(client)).every(({ state }) => state === "ended"),
      120_000,
    );
    const buffers = await buffersOf(client);
    expect(buffers.limit_bytes).toBe(LIMIT_BYTES);
    expect(buffers.used_bytes).toBeLessThanOrEqual(LIMIT_BYTES);
    const sessions = await sessionsOf(client);
    expect(sessions).toHaveLength(20);
    const kept = sessions.map(({ output }) => output.to - output.from);
    // A twenty-first of it each, less the size of a piece.
    for (const bytes of kept) expect(bytes).toBeGreaterThan(MIB / 2);
    // Without a common limit it would be 320 MiB, and what is not collected yet beside it.
    expect(residentBytes(agent.running.pid) - before).toBeLessThan(8 * LIMIT_BYTES);
    const logs = await vsockbox(["logs", agent.address, "n0"]);
    expect(logs.status).toBe(0);
    expect(logs.stdout).toEndWith("x\nthe end\n");
    const dropped = await vsockbox(["logs", agent.address, "n0", "--offset", "0"]);
    expect(dropped.stderr).toMatch(/\d{8} bytes/);
    const shown = await vsockbox(["info", agent.address]);
    expect(shown.stdout).toMatch(/^buffers {3}[\d.]+ MiB of 32(\.0)? MiB in use$/m);
  });

  test("cuts off the output of one Exec at the limit and reports it", async () => {
    await using agent = await TestAgent.start(["--max-memory", String(8 * MIB)]);
    const frames = await new RawPeer(agent.path)
      .send(encodeJsonFrame(FrameType.Exec, { command: "head -c 10000000 /dev/zero" }))
      .frames();
    const result = json(frames, FrameType.ExecResult);
    expect(result).toMatchObject({ exit_code: 0, error: expect.stringContaining("cut off") });
  });

  test("ends a channel whose input is not read, and no other", async () => {
    await using agent = await TestAgent.start(["--max-memory", String(8 * MIB)]);
    await using client = await AgentClient.connect({ kind: "unix", path: agent.path });
    const spawn = (line: string) =>
      client.spawn({
        program: { kind: "shell-line", line: Buffer.from(line) },
        env: [],
        workingDir: undefined,
        user: undefined,
        tty: undefined,
        sandbox: undefined,
        input: true,
      });
    const deaf = Array.from({ length: 12 }, () => spawn("sleep 600"));
    const outcomes = deaf.map((command) => {
      void command.write(new Uint8Array(1_900_000)).catch(() => undefined);
      return command.exited.then(
        () => "ended",
        (thrown: unknown) => (thrown as { code?: string }).code,
      );
    });
    expect(await Promise.race(outcomes)).toBe("REFUSED");
    expect((await buffersOf(client)).used_bytes).toBeLessThanOrEqual(8 * MIB);
    const alive = spawn("cat");
    await alive.write(Buffer.from("hello"));
    alive.endInput();
    expect((await alive.exited).exitCode).toBe(0);
  });
});
