/** Channels beside each other: what goes wrong with one is no other one's matter. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { AgentClient } from "../../src/agent/client/agent-client.ts";
import type { RemoteCommand } from "../../src/agent/client/remote-command.ts";
import { Channel } from "../../src/agent/channel/channel.ts";
import { performHandshake } from "../../src/agent/client/handshake.ts";
import { encodeJsonFrame, FrameType } from "../../src/protocols/agent/frame.ts";
import { TestAgent, vsockbox } from "../support/binary.ts";
import { standsStill } from "../support/process-state.ts";

let agent: TestAgent;
let client: AgentClient;
beforeAll(async () => {
  agent = await TestAgent.start();
  client = await AgentClient.connect({ kind: "unix", path: agent.path });
});
afterAll(async () => {
  await client.close();
  await agent[Symbol.asyncDispose]();
});

const run = (line: string, input = false): RemoteCommand =>
  client.spawn({
    program: { kind: "shell-line", line: Buffer.from(line) },
    env: [],
    workingDir: undefined,
    user: undefined,
    tty: undefined,
    sandbox: undefined,
    input,
  });

describe("control messages", () => {
  test("one that makes no sense ends its own channel and command, not those beside it", async () => {
    const beside = run("sleep 0.5; exit 7");
    const wrong = run("sleep 600", true);
    wrong.channel.control({ nonsense: true });
    expect(await wrong.exited.catch((thrown: Error) => thrown.message)).toBe(
      "cannot read control: it has neither a signal nor a size",
    );
    expect((await beside.exited).exitCode).toBe(7);
  });
});

describe("memory", () => {
  const carrier = {
    write: () => Promise.resolve(),
    post: () => undefined,
    forget: () => undefined,
  };
  const piece = (bytes: Uint8Array) => ({ kind: "data", stream: 1, bytes }) as const;

  test("small pieces that wait keep nothing of what came beside them", async () => {
    const channel = new Channel(carrier, 1, { peerBytes: 1 << 20, ownBytes: 1 << 20 });
    const chunk = new Uint8Array(256 * 1024).fill(65);
    for (const at of [0, 1]) channel.onData(piece(chunk.subarray(at, at + 1)), 1);
    const item = await channel.next();
    expect(item?.kind === "data" ? Buffer.from(item.bytes).toString() : undefined).toBe(
      Buffer.from("AA").toString(),
    );
    expect(item?.kind === "data" && item.bytes.buffer.byteLength < chunk.length).toBe(true);
  });

  test("empty pieces use no memory, and streams are not mixed", async () => {
    const channel = new Channel(carrier, 1, { peerBytes: 1 << 20, ownBytes: 1 << 20 });
    for (let count = 0; count < 1000; count++) channel.onData(piece(new Uint8Array(0)), 0);
    channel.onData(piece(Buffer.from("a")), 1);
    channel.onData({ kind: "data", stream: 2, bytes: Buffer.from("b") }, 1);
    channel.onEnd();
    const streams: number[] = [];
    for (let item = await channel.next(); item !== undefined; item = await channel.next()) {
      if (item.kind === "data") streams.push(item.stream);
    }
    expect(streams).toEqual([1, 2]);
  });
});

describe("a peer that does not read", () => {
  test("is not answered for ever", async () => {
    const { connection } = await performHandshake({ kind: "unix", path: agent.path });
    const { stream } = connection;
    const ping = encodeJsonFrame(FrameType.Ping, { pad: "x".repeat(3000) });
    const many = Buffer.concat(Array.from({ length: 300 }, () => ping));
    let sent = 0;
    const flood = async () => {
      for (; sent < 500_000_000; sent += many.length) await stream.write(many);
    };
    void flood().catch(() => undefined);
    await standsStill("no more is accepted", () => sent);
    stream.abort();
    expect(sent).toBeLessThan(200_000_000);
  });

  test("offers without a request end their channel alone", async () => {
    const none = { preserve: false, resume: true, checksum: false, keep: false };
    const name = Buffer.from("exe");
    const path = Buffer.from("/proc/self/exe");
    const channel = client.open({ op: "get", path, name, recursive: false, ...none });
    for (let count = 0; count < 2000; count++) {
      channel.control({ offer: { kind: "part", bytes: 1, hash: "" } });
    }
    expect(await channel.result.catch((thrown: Error) => thrown.message)).toBe(
      "cannot read offer: no peer has requested it",
    );
    expect((await client.ping()).roundTripMs).toBeGreaterThan(0);
  });
});

describe("answers", () => {
  test("ps lists sessions however long their command lines are", async () => {
    const long = "x".repeat(120_000);
    for (let count = 0; count < 10; count++) {
      const args = ["exec", "--detach", agent.address, "--", "sleep", "0", long];
      expect((await vsockbox(args)).status).toBe(0);
    }
    const { status, stdout, stderr } = await vsockbox(["ps", "--json", agent.address]);
    expect({ status, stderr, lines: stdout.trim().split("\n").length }).toEqual({
      status: 0,
      stderr: "",
      lines: 10,
    });
  });
});
