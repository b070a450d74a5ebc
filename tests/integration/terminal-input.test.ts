/** Typing at a program that does not read, over channels and over the Go agent's frames. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { AgentClient } from "../../src/agent/client/agent-client.ts";
import type { RemoteCommand } from "../../src/agent/client/remote-command.ts";
import { encodeFrame, encodeJsonFrame, FrameType } from "../../src/protocols/agent/frame.ts";
import { eventually, TestAgent } from "../support/binary.ts";
import { RawPeer } from "../support/raw-peer.ts";

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

const size = { rows: 24, cols: 80 };
const CTRL_C = "\u0003";
const CTRL_BACKSLASH = "\u001c";

/** A command on a terminal, and what it has shown. */
class Typed {
  readonly remote: RemoteCommand;
  output = "";

  constructor(line: string) {
    const remote = client.spawn({
      program: { kind: "vector", argv: ["sh", "-c", line].map((word) => Buffer.from(word)) },
      env: [],
      workingDir: undefined,
      user: undefined,
      sandbox: undefined,
      tty: size,
      input: true,
    });
    this.remote = remote;
    void (async () => {
      for await (const { bytes } of remote) this.output += Buffer.from(bytes).toString("latin1");
    })().catch(() => undefined);
  }

  shows(text: string): Promise<void> {
    return eventually(`it shows ${text}`, () => this.output.includes(text));
  }

  type(text: string): Promise<void> {
    return this.remote.write(Buffer.from(text, "latin1"));
  }
}

describe("Ctrl-C at a program that does not read", () => {
  // Less than the line discipline holds, more than it holds, and more than the kernel holds.
  test.each([1000, 6000, 60_000, 1_000_000])("overtakes a paste of %d bytes", async (bytes) => {
    const typed = new Typed("echo up; exec sleep 600");
    await typed.shows("up");
    await typed.type("a line\n".repeat(bytes / 7));
    await typed.type(CTRL_C);
    expect(await typed.remote.exited).toEqual({ exitCode: 130, signal: "SIGINT" });
  });

  test("overtakes the paste that it is the end of", async () => {
    const typed = new Typed("echo up; exec sleep 600");
    await typed.shows("up");
    await typed.type(`${"a line\n".repeat(20_000)}${CTRL_C}`);
    expect((await typed.remote.exited).signal).toBe("SIGINT");
  });

  test("reaches one without lines, too", async () => {
    const typed = new Typed("stty -icanon; echo up; exec sleep 600");
    await typed.shows("up");
    await typed.type("x".repeat(200_000));
    await typed.type(CTRL_C);
    expect((await typed.remote.exited).signal).toBe("SIGINT");
  });

  test("as does Ctrl-\\", async () => {
    const typed = new Typed("ulimit -c 0; echo up; exec sleep 600");
    await typed.shows("up");
    await typed.type("a line\n".repeat(10_000));
    await typed.type(CTRL_BACKSLASH);
    expect((await typed.remote.exited).signal).toBe("SIGQUIT");
  });

  test("discards the bytes typed before, and none typed after", async () => {
    const typed = new Typed(
      "trap 'echo trapped; cat; exit 7' INT; echo up; while :; do sleep 0.1; done",
    );
    await typed.shows("up");
    await typed.type("before\n".repeat(10_000));
    await typed.type(CTRL_C);
    await typed.shows("trapped");
    const from = typed.output.indexOf("trapped");
    await typed.type("after\n\u0004");
    expect((await typed.remote.exited).exitCode).toBe(7);
    expect(typed.output.slice(from)).toContain("after\r\nafter\r\n");
    expect(typed.output.slice(from)).not.toContain("before");
  });

  test("works over the Go agent's frames", async () => {
    const session = new RawPeer(agent.path);
    let output = "";
    session.socket.on("data", (chunk: Buffer) => (output += chunk.toString("latin1")));
    const command = "echo up; exec sleep 600";
    session.send(encodeJsonFrame(FrameType.ExecTTY, { command, ...size }));
    await eventually("it runs", () => output.includes("up"));
    session.send(encodeFrame(FrameType.Stdin, Buffer.from("a line\n".repeat(50_000))));
    session.send(encodeFrame(FrameType.Stdin, Buffer.from(CTRL_C)));
    expect((await session.frames()).at(-1)?.payload.readUInt32BE()).toBe(130);
  });
});

describe("bytes typed at a program that reads", () => {
  test("arrives whole and in order if it does not send a signal, Ctrl-C included", async () => {
    const bytes = Array.from({ length: 300_000 }, (_, index) => String.fromCharCode(index % 256));
    const typed = new Typed("stty raw -echo; echo up; head -c 300000 | cksum");
    await typed.shows("up");
    await typed.type(bytes.join(""));
    const sum = Bun.spawnSync(["cksum"], { stdin: Buffer.from(bytes.join(""), "latin1") });
    expect((await typed.remote.exited).exitCode).toBe(0);
    expect(typed.output).toContain(sum.stdout.toString().trim());
  });

  test("a signal that it ignores leaves it as it was", async () => {
    const typed = new Typed("trap '' INT; stty -echo; echo up; cat; exit 5");
    await typed.shows("up");
    await typed.type(`one\n${CTRL_C}two\n\u0004`);
    expect((await typed.remote.exited).exitCode).toBe(5);
    expect(typed.output).toContain("two");
  });
});
