/** Sessions that end while bytes are on their way use no CPU time afterwards and keep no descriptor. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { AgentClient } from "../../src/agent/client/agent-client.ts";
import { encodeFrame, encodeJsonFrame, FrameType } from "../../src/protocols/agent/frame.ts";
import { encodeMessage, Type } from "../../src/protocols/vsock-shell/message.ts";
import { isAtRest, openEnds, returnsTo } from "../support/at-rest.ts";
import {
  BINARY,
  eventually,
  Running,
  ScratchDirectory,
  TestAgent,
  vsockbox,
} from "../support/binary.ts";
import { RawPeer } from "../support/raw-peer.ts";
import { TestShellServer } from "../support/vsock-shell.ts";

/** In all far more than a terminal and a pipe hold. */
const PASTE = new Uint8Array(64 * 1024).fill(0x78);
const PIECES = 16;

const SIZE = { rows: 24, cols: 80 };

let scratch: ScratchDirectory;
let agent: TestAgent;
let before: number;
beforeEach(async () => {
  scratch = new ScratchDirectory();
  agent = await TestAgent.start();
  // With its first command an agent starts a helper, whose pipe stays.
  await vsockbox(["exec", agent.address, "--", "true"]);
  await isAtRest(agent.running.pid);
  before = openEnds(agent.running.pid);
});
afterEach(async () => {
  await agent[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

/** A shell line that writes its pid to `file` and becomes a program that reads nothing. */
const sleeper = (file: string) => `echo $$ > ${file}; exec sleep 1000`;

/** The same, and the program stays in the background with the input that the line has. */
const daemon = (file: string) => `exec 3<&0; (exec sleep 1000 <&3 >&- 2>&-) & echo $! > ${file}`;

/** The pid that a command has written to a file. */
async function pidIn(file: string): Promise<number> {
  const read = () => (existsSync(file) ? readFileSync(file, "utf8") : "");
  await eventually("the command has begun", () => read().endsWith("\n"));
  return Number(read());
}

describe("a program that ends while its input is on the way", () => {
  test("on a terminal, in the Go agent's frames", async () => {
    const file = scratch.file("pid");
    const peer = new RawPeer(agent.path);
    const command = `stty raw -echo; ${sleeper(file)}`;
    peer.send(encodeJsonFrame(FrameType.ExecTTY, { command, ...SIZE }));
    const program = await pidIn(file);
    for (let sent = 0; sent < PIECES; sent++) peer.send(encodeFrame(FrameType.Stdin, PASTE));
    await isAtRest(agent.running.pid);
    process.kill(program, "SIGKILL");
    expect((await peer.frames()).at(-1)?.type).toBe(FrameType.Exit);
    await returnsTo(agent.running.pid, before);
  });

  test.each([SIZE, undefined])("over a channel, terminal %j", async (tty) => {
    const file = scratch.file("pid");
    await using client = await AgentClient.connect({ kind: "unix", path: agent.path });
    const start = openEnds(agent.running.pid);
    const channel = client.open({
      op: "exec",
      program: {
        kind: "shell-line",
        line: Buffer.from(tty === undefined ? sleeper(file) : `stty raw -echo; ${sleeper(file)}`),
      },
      env: [],
      more: false,
      workingDir: undefined,
      user: undefined,
      sandbox: undefined,
      name: undefined,
      detach: false,
      input: true,
      tty,
    });
    const program = await pidIn(file);
    void (async () => {
      for (let sent = 0; sent < PIECES; sent++) await channel.send(0, PASTE);
    })().catch(() => undefined);
    await isAtRest(agent.running.pid);
    process.kill(program, "SIGKILL");
    expect(await channel.result).toMatchObject({ exit_code: 137 });
    await returnsTo(agent.running.pid, start);
  });

  test("on pipes, while a process that it started still has them", async () => {
    const file = scratch.file("pid");
    const peer = new RawPeer(agent.path);
    peer.send(encodeJsonFrame(FrameType.ExecPipe, { command: daemon(file) }));
    for (let sent = 0; sent < PIECES; sent++) peer.send(encodeFrame(FrameType.Stdin, PASTE));
    const program = await pidIn(file);
    expect((await peer.frames()).at(-1)?.type).toBe(FrameType.Exit);
    await returnsTo(agent.running.pid, before);
    process.kill(program, "SIGKILL");
  });

  test("under listen --exec, while a process that it started still has the input", async () => {
    const path = scratch.file("listen.sock");
    const file = scratch.file("pid");
    const words = ["listen", `unix:${path}`, "--keep-open", "--exec", daemon(file)];
    await using running = new Running(words);
    await running.says("listening");
    // Some descriptors are opened with the first command.
    const first = new RawPeer(path);
    process.kill(await pidIn(file), "SIGKILL");
    await first.answer;
    rmSync(file);
    const start = openEnds(running.pid);
    const peer = new RawPeer(path);
    for (let sent = 0; sent < PIECES; sent++) peer.send(PASTE);
    const program = await pidIn(file);
    await returnsTo(running.pid, start);
    process.kill(program, "SIGKILL");
  });

  test("under shell-server", async () => {
    await using server = await TestShellServer.start();
    const { pid } = server.running;
    const first = new RawPeer(server.path);
    first.send(encodeMessage(Type.OpenCommand, Buffer.from("true\0")));
    await first.answer;
    await isAtRest(pid);
    const start = openEnds(pid);
    const file = scratch.file("pid");
    const peer = new RawPeer(server.path);
    const line = `stty raw -echo; ${sleeper(file)}`;
    peer.send(encodeMessage(Type.OpenCommand, Buffer.from(`${line}\0`)));
    const program = await pidIn(file);
    for (let sent = 0; sent < PIECES * 16; sent++) {
      peer.send(encodeMessage(Type.ClientData, PASTE.subarray(0, 4000)));
    }
    await isAtRest(pid);
    process.kill(program, "SIGKILL");
    await peer.answer;
    await returnsTo(pid, start);
  });
});

test("clients that are killed in the middle of everything", async () => {
  const lines = [
    "cat /dev/zero",
    "cat > /dev/null",
    "exec sleep 1000",
    "head -c 9000000 /dev/zero; exec sleep 1000",
  ];
  const env = { ...process.env, VSOCKBOX_NO_VSOCK: "1", BINARY, ADDRESS: agent.address };
  const clients = lines.flatMap((LINE) =>
    [1, 2].map(() =>
      Bun.spawn(["sh", "-c", 'cat /dev/zero | exec "$BINARY" exec "$ADDRESS" -- sh -c "$LINE"'], {
        stdio: ["ignore", "pipe", "ignore"],
        detached: true,
        env: { ...env, LINE },
      }),
    ),
  );
  const terminals = lines.map((command) => {
    const peer = new RawPeer(agent.path);
    peer.send(encodeJsonFrame(FrameType.ExecTTY, { command, ...SIZE }));
    for (let sent = 0; sent < PIECES; sent++) peer.send(encodeFrame(FrameType.Stdin, PASTE));
    return peer;
  });
  const sessions = clients.length + terminals.length;
  await eventually("all run", () => openEnds(agent.running.pid) >= before + 3 * sessions);
  for (const { pid } of clients) process.kill(-pid, "SIGKILL");
  for (const { socket } of terminals) socket.destroy();
  await Promise.all(clients.map(({ exited }) => exited));
  await returnsTo(agent.running.pid, before);
});
