/**
 * A reset at one end of a forwarded connection is a reset at the other end, after the bytes that were sent
 * before; a clean end stays one.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect, createServer } from "node:net";
import { connectAgent } from "vsockbox";
import { FrameType } from "../../src/protocols/agent/frame.ts";
import { eventually, Running, ScratchDirectory, TestAgent } from "../support/binary.ts";
import { recordingRelay } from "../support/recording-relay.ts";
import { type PeerAddress, SocketPeerListener, SocketPeer } from "../support/socket-peer.ts";

/** More than a TCP socket receives while its program does not read, in bytes. */
const SENT_BYTES = 300_000;

let agent: TestAgent;
let scratch: ScratchDirectory;
beforeAll(async () => {
  agent = await TestAgent.start();
  scratch = new ScratchDirectory();
});
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

type Kind = "tcp" | "unix";

let sockets = 0;
const newAddress = (kind: Kind): PeerAddress =>
  kind === "tcp" ? 0 : scratch.file(`${sockets++}.sock`);

/** Opens one forward; returns where it listens. */
type OpenForward = (
  listen: PeerAddress,
  target: PeerAddress,
  agentAddress: string,
) => Promise<OpenedForward>;

interface OpenedForward extends AsyncDisposable {
  listening: string;
  /** Waits until its log contains \`text\`. */
  says(text: string): Promise<void>;
}

/** Runs `vsockbox forward`. */
function byCommand(option: "-L" | "-R"): OpenForward {
  return async (listen, target, agentAddress) => {
    const to = typeof target === "string" ? target : `127.0.0.1:${target}`;
    const running = new Running(["forward", agentAddress, "--json", option, `${listen}:${to}`]);
    const reader = running.process.stdout.getReader();
    const { value, done } = await reader.read();
    if (done) throw new Error(`it ended: ${running.stderr}`);
    const { listening } = JSON.parse(new TextDecoder().decode(value)) as { listening: string };
    return {
      listening,
      says: (text) => running.says(text),
      [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
    };
  };
}

/** Uses the library in this process. */
function byLibrary(direction: "local" | "remote"): OpenForward {
  return async (listen, target, agentAddress) => {
    const client = await connectAgent(agentAddress);
    const { listening } = await client.forward({
      direction,
      listen: endpointOf(listen),
      target: endpointOf(target),
    });
    return {
      listening,
      says: () => Promise.reject(new Error("the library logs nothing")),
      [Symbol.asyncDispose]: () => client.close(),
    };
  };
}

const endpointOf = (address: PeerAddress) =>
  typeof address === "string"
    ? ({ kind: "unix", path: address } as const)
    : ({ kind: "tcp", host: "127.0.0.1", port: address } as const);

const addressOf = (listening: string): PeerAddress =>
  listening.startsWith("unix:") ? listening.slice(5) : Number(listening.split(":").at(-1));

const WAYS: readonly [name: string, open: OpenForward][] = [
  ["forward -L", byCommand("-L")],
  ["forward -R", byCommand("-R")],
  ["the library's local forward", byLibrary("local")],
  ["the library's remote forward", byLibrary("remote")],
];

const KINDS: readonly [listen: Kind, target: Kind][] = [
  ["tcp", "tcp"],
  ["tcp", "unix"],
  ["unix", "tcp"],
  ["unix", "unix"],
];

/** A client and the target's end of its connection, through a forward. */
async function connected(
  open: OpenForward,
  listen: Kind,
  target: Kind,
  agentAddress = agent.address,
) {
  const stack = new AsyncDisposableStack();
  const listener = stack.use(new SocketPeerListener(newAddress(target)));
  const forward = stack.use(await open(newAddress(listen), listener.address, agentAddress));
  const client = stack.use(await SocketPeer.connect(addressOf(forward.listening)));
  const server = stack.use(await listener.accept());
  return { client, server, forward, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** Makes sure that a Unix socket at either end is closed with unread bytes, without which it is not reset. */
async function leaveUnread(sender: SocketPeer, reader: SocketPeer): Promise<void> {
  if (reader.isTcp && sender.isTcp) return;
  if (reader.isTcp) await reader.write(1);
  else await reader.fill();
  await eventually("unread bytes", () => sender.hasInput);
}

describe.each(WAYS)("%s", (_, open) => {
  describe.each(KINDS)("from a %s socket to a %s socket", (listen, target) => {
    test.each(["target", "client"] as const)("a reset by the %s", async (who) => {
      await using peers = await connected(open, listen, target);
      const { client, server } = peers;
      const [sender, reader] = who === "target" ? [server, client] : [client, server];
      await leaveUnread(sender, reader);
      await sender.write(SENT_BYTES);
      sender.reset();
      expect(await reader.readAll()).toEqual({ bytes: SENT_BYTES, end: "ECONNRESET" });
    });

    test("half-close and a clean end of both directions", async () => {
      await using peers = await connected(open, listen, target);
      const { client, server } = peers;
      await client.write(SENT_BYTES);
      client.end();
      expect(await server.readAll()).toEqual({ bytes: SENT_BYTES, end: "end" });
      await server.write(SENT_BYTES);
      server.end();
      server[Symbol.dispose]();
      expect(await client.readAll()).toEqual({ bytes: SENT_BYTES, end: "end" });
    });
  });
});

describe.each(WAYS.slice(0, 2))("%s", (_, open) => {
  test.each(["target", "client"] as const)(
    "a reset by the %s that has half-closed",
    async (who) => {
      await using peers = await connected(open, "tcp", "tcp");
      const { client, server } = peers;
      const [sender, reader] = who === "target" ? [server, client] : [client, server];
      await sender.write(1);
      sender.end();
      expect(await reader.readAll()).toEqual({ bytes: 1, end: "end" });
      sender.reset();
      await eventually("a reset", () => reader.isReset);
    },
  );
});

test("a slow reader gets the bytes that wait in the kernel before a reset", async () => {
  await using peers = await connected(byCommand("-L"), "tcp", "tcp");
  await peers.server.write(1_000_000);
  peers.server.reset();
  expect(await peers.client.readAll({ isSlow: true })).toEqual({
    bytes: 1_000_000,
    end: "ECONNRESET",
  });
});

test.each([
  ["-L", "client"],
  ["-R", "target"],
] as const)("forward %s: the end of the agent is a reset for the %s", async (option, who) => {
  await using mortal = await TestAgent.start();
  await using peers = await connected(byCommand(option), "tcp", "tcp", mortal.address);
  const [sender, reader] =
    who === "client" ? [peers.server, peers.client] : [peers.client, peers.server];
  await sender.write(SENT_BYTES);
  await reader.read(SENT_BYTES);
  mortal.running.process.kill("SIGKILL");
  expect(await reader.readAll()).toEqual({ bytes: 0, end: "ECONNRESET" });
});

test("forward -L: an agent that is stopped resets its connections, and the log has the reason", async () => {
  await using stopped = await TestAgent.start();
  await using peers = await connected(byCommand("-L"), "tcp", "tcp", stopped.address);
  await peers.client.write(1);
  await peers.server.read(1);
  stopped.running.process.kill("SIGTERM");
  expect(await peers.client.readAll()).toEqual({ bytes: 0, end: "ECONNRESET" });
  expect(await peers.server.readAll()).toEqual({ bytes: 0, end: "ECONNRESET" });
  await peers.forward.says("the agent was stopped");
  expect(await stopped.running.process.exited).toBe(0);
});

test("forward -L: the reset of a target is one, however much is being written to it", async () => {
  const server = createServer((socket) => socket.resetAndDestroy());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await using forward = await byCommand("-L")(0, port, agent.address);
  const endOf = (bytes: number) =>
    new Promise<string>((resolve) => {
      const client = connect(Number(forward.listening.split(":").at(-1)), "127.0.0.1");
      client.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "error"));
      client.on("end", () => resolve("end"));
      client.resume();
      client.write(new Uint8Array(bytes));
    });
  const ends: string[] = [];
  for (let count = 0; count < 60; count++) ends.push(await endOf(count % 2 === 0 ? 5 : 70_000));
  server.close();
  // A write of the client may be the first to notice it.
  expect(ends.filter((end) => end !== "ECONNRESET" && end !== "EPIPE")).toEqual([]);
});

test("an agent that closes one Hello, as one that is restarted does, gets channels afterwards", async () => {
  const path = scratch.file("relay.sock");
  // The first connection is that of the command's start.
  using relay = await recordingRelay(path, agent.path, (index) => index === 1);
  const echo = createServer({ allowHalfOpen: true }, (socket) => void socket.pipe(socket));
  await new Promise<void>((resolve) => echo.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = echo.address() as { port: number };
    await using forward = await byCommand("-L")(0, port, `unix:${path}`);
    for (let count = 0; count < 2; count++) {
      const [, local] = /:([0-9]+)$/.exec(forward.listening) ?? [];
      const client = connect({ host: "127.0.0.1", port: Number(local), allowHalfOpen: true });
      client.end("hello");
      const chunks: Buffer[] = [];
      for await (const chunk of client) chunks.push(chunk as Buffer);
      expect(Buffer.concat(chunks).toString()).toBe("hello");
    }
    const first = relay.fromClients.map((chunks) => Buffer.concat(chunks)[0]);
    // Start; the broken one; whether it is an agent at all; the second Hello; the second connection.
    const { Hello, Exec } = FrameType;
    expect(first).toEqual([Hello, Hello, Exec, Hello, Hello]);
  } finally {
    echo.close();
  }
});
