/** Peers that begin and do not finish: none of them holds a session of the agent for ever. */
import { describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { AgentClient } from "../../src/agent/client/agent-client.ts";
import { NONCE_BYTES } from "../../src/protocols/agent/challenge.ts";
import { closeDescriptor, pollDescriptor, POLLRDHUP } from "../../src/ffi/socket.ts";
import { CHANNEL_WINDOW_BYTES } from "../../src/protocols/agent/credit.ts";
import { encodeJsonFrame, FrameType } from "../../src/protocols/agent/frame.ts";
import { encodeHello, FEATURES, type Hello } from "../../src/protocols/agent/hello.ts";
import { eventually, ScratchDirectory, TestAgent, vsockbox } from "../support/binary.ts";
import { RawPeer } from "../support/raw-peer.ts";
import { connectUnix } from "../support/raw-vmm.ts";

const helloFrame = (secret: Partial<Hello> = {}) =>
  encodeJsonFrame(
    FrameType.Hello,
    encodeHello({
      protocol: 1,
      version: "test",
      features: FEATURES,
      window: CHANNEL_WINDOW_BYTES,
      token: undefined,
      ...secret,
    }),
  );

const hello = helloFrame();
const exec = encodeJsonFrame(FrameType.ExecPipe, { command: "sleep 600" });
const challenged = helloFrame({ nonce: randomBytes(NONCE_BYTES) });

/** What a peer sends at once, and what it sends a byte of every tenth of a second. */
const unfinished: Record<string, { atOnce: Uint8Array[]; slowly?: Uint8Array }> = {
  "sends nothing": { atOnce: [] },
  "sends half a header": { atOnce: [hello.subarray(0, 3)] },
  "sends half a Hello": { atOnce: [hello.subarray(0, 60)] },
  "sends half a request of the Go agent's": { atOnce: [exec.subarray(0, 20)] },
  "sends a Hello a byte at a time": { atOnce: [], slowly: hello },
  "sends a Hello and nothing else": { atOnce: [hello] },
  "sends a Hello and half a frame": { atOnce: [hello, Uint8Array.of(65, 0, 0, 1, 0, 1)] },
  "sends a Hello and a frame a byte at a time": {
    atOnce: [hello],
    slowly: encodeJsonFrame(FrameType.Ping, { padding: "x".repeat(1000) }),
  },
};

const unproved: typeof unfinished = {
  "does not answer the challenge": { atOnce: [challenged] },
  "sends half a proof": { atOnce: [challenged, Uint8Array.of(74, 0, 0, 0, 60, 0x7b)] },
  "sends a proof a byte at a time": {
    atOnce: [challenged],
    slowly: encodeJsonFrame(FrameType.Proof, { proof: "x".repeat(1000) }),
  },
};

const SLOTS = 3;

/** Fills all sessions with such peers; the agent must end them by itself. */
async function holdsNoSlot(agent: TestAgent, { atOnce, slowly }: (typeof unfinished)[string]) {
  const peers = Array.from({ length: SLOTS }, () => new RawPeer(agent.path).send(...atOnce));
  let sent = 0;
  const timer = setInterval(() => {
    if (slowly === undefined || sent >= slowly.length) return;
    for (const peer of peers) peer.send(slowly.subarray(sent, sent + 1));
    sent++;
  }, 100);
  try {
    // The peers never close by themselves: each answer is complete only once the agent has closed.
    await Promise.all(peers.map(({ answer }) => answer));
  } finally {
    clearInterval(timer);
  }
}

const limits = ["--handshake-timeout", "500ms", "--max-sessions", String(SLOTS)];

describe("a peer that", () => {
  test.each(Object.keys(unfinished))("%s does not hold a session", async (what) => {
    await using agent = await TestAgent.start(limits);
    await holdsNoSlot(agent, unfinished[what] ?? { atOnce: [] });
    expect((await vsockbox(["exec", agent.address, "--", "true"])).status).toBe(0);
  });

  test.each(Object.keys(unproved))("%s does not hold a session", async (what) => {
    using scratch = new ScratchDirectory();
    const token = ["--token-file", scratch.file("token")];
    writeFileSync(scratch.file("token"), "correct-horse-battery\n", { mode: 0o600 });
    await using agent = await TestAgent.start([...limits, ...token]);
    await holdsNoSlot(agent, unproved[what] ?? { atOnce: [] });
    expect((await vsockbox(["exec", ...token, agent.address, "--", "true"])).status).toBe(0);
  });
});

describe("a peer that keeps its connection for good reason", () => {
  test("runs a command for longer than the handshake's time limit", async () => {
    await using agent = await TestAgent.start(limits);
    const result = await vsockbox(["exec", agent.address, "--", "sh", "-c", "sleep 1.5; echo ok"]);
    expect(result).toMatchObject({ status: 0, stdout: "ok\n" });
  });

  test("connects by the library and asks later", async () => {
    await using agent = await TestAgent.start(["--handshake-timeout", "7s"]);
    const client = await AgentClient.connect({ kind: "unix", path: agent.path });
    await Bun.sleep(7500);
    expect(await client.request({ op: "info" })).toMatchObject({ sessions: 1 });
    await client.close();
  });
});

describe("the ready port", () => {
  test("does not hold connections of peers that do not close", async () => {
    using scratch = new ScratchDirectory();
    await using agent = await TestAgent.start(["--ready-listen", `unix:${scratch.file("ready")}`]);
    const descriptors = () =>
      [...new Bun.Glob("*").scanSync({ cwd: `/proc/${agent.running.pid}/fd`, onlyFiles: false })]
        .length;
    const before = descriptors();
    const peers = Array.from({ length: 50 }, () => connectUnix(scratch.file("ready")));
    try {
      for (const fd of peers) {
        await eventually("its end is there", () => pollDescriptor(fd, POLLRDHUP, 0) !== 0);
      }
      await eventually("all are closed", () => descriptors() <= before);
    } finally {
      for (const fd of peers) closeDescriptor(fd);
    }
  });
});
