/** The checks of `vsockbox smoke --target`: does a guest serve what its users need? */
import { createHash, randomBytes } from "node:crypto";
import { AgentClient } from "../agent/client/agent-client.ts";
import type { CommandToRun } from "../agent/client/remote-command.ts";
import type { Channel } from "../agent/channel/channel.ts";
import { ChannelPipe } from "../agent/channel/channel-pipe.ts";
import { feedInput, type RemoteExit } from "../agent/client/remote-process.ts";
import type { AgentDialOptions } from "../agent/client/handshake.ts";
import { VsockboxError } from "../errors.ts";
import type { SocketAddress } from "../net/address.ts";
import { copy } from "../io/pump.ts";
import { type CheckOf, expectEqual, fail } from "./check.ts";

/** How much goes through a command, and into a file, in bytes. */
const STREAM_BYTES = 4 * 1024 * 1024;
const FILE_BYTES = 16 * 1024 * 1024;

/** Round trips of the ping check. */
const PINGS = 10;

const bytes = (text: string) => new TextEncoder().encode(text);

/** An agent under test: one connection, and a directory of its own in the guest. */
export class TestedAgent implements AsyncDisposable {
  readonly client: AgentClient;
  readonly directory: Uint8Array;

  private constructor(client: AgentClient, directory: Uint8Array) {
    this.client = client;
    this.directory = directory;
  }

  /**
   * Connects, and makes the directory.
   *
   * @throws {VsockboxError} as `AgentClient.connect`; IO if the guest's /tmp cannot be written to.
   */
  static async connect(address: SocketAddress, options: AgentDialOptions): Promise<TestedAgent> {
    const client = await AgentClient.connect(address, options);
    const path = bytes(`/tmp/vsockbox-smoke-${randomBytes(8).toString("hex")}`);
    try {
      await client.request({ op: "mkdir", path, parents: true, mode: 0o700 });
    } catch (thrown) {
      await client.close();
      throw thrown;
    }
    return new TestedAgent(client, path);
  }

  /** The path of a file in the directory. */
  file(name: string): Uint8Array {
    return Buffer.concat([this.directory, bytes(`/${name}`)]);
  }

  /** Removes the directory and closes the connection. */
  async [Symbol.asyncDispose](): Promise<void> {
    const path = this.directory;
    const request = { op: "remove", path, recursive: true, force: true, report: false } as const;
    const removing = this.client.request(request);
    // If the connection breaks during a check, the file stays in the guest.
    await removing.catch(() => undefined);
    await this.client.close();
  }
}

const pingCheck: CheckOf<TestedAgent> = {
  name: "ping",
  async run({ client }) {
    const times: number[] = [];
    for (let count = 0; count < PINGS; count++) times.push((await client.ping()).roundTripMs);
    times.sort((a, b) => a - b);
    return `${PINGS} round trips, median ${(times[PINGS / 2] ?? 0).toFixed(2)} ms`;
  },
};

const execCheck: CheckOf<TestedAgent> = {
  name: "exec",
  async run({ client }) {
    const { stdout, stderr, exit } = await runShell(client, "cat; echo err >&2; exit 7", [
      bytes("input"),
    ]);
    expectEqual("stdout", stdout.toString(), "input");
    expectEqual("stderr", stderr.toString(), "err\n");
    expectEqual("the exit status", exit.exitCode, 7);
    return "input, output, errors and exit status 7";
  },
};

const streamsCheck: CheckOf<TestedAgent> = {
  name: "streams",
  async run({ client }) {
    const block = randomBytes(STREAM_BYTES);
    const { stdout } = await runShell(client, "cat", [block]);
    expectEqual("the count of bytes", stdout.length, block.length);
    expectEqual("the checksum", sha256(stdout), sha256(block));
    return `${STREAM_BYTES / 1024 / 1024} MiB through a command with equal sha256`;
  },
};

const filesCheck: CheckOf<TestedAgent> = {
  name: "files",
  async run(agent) {
    const { client, directory } = agent;
    const content = randomBytes(FILE_BYTES);
    const begin = performance.now();
    const flags = { checksum: true };
    const summary = await client.upload(inBlocks(content), directory, bytes("file"), flags);
    if (summary.errors[0] !== undefined) fail(summary.errors[0].message);
    const received = createHash("sha256");
    let count = 0;
    for await (const chunk of client.read(agent.file("file"), flags)) {
      received.update(chunk);
      count += chunk.length;
    }
    const seconds = (performance.now() - begin) / 1000;
    expectEqual("the count of bytes", count, content.length);
    expectEqual("the checksum", received.digest("hex"), sha256(content));
    const megabytes = (2 * FILE_BYTES) / 1e6 / seconds;
    return `${FILE_BYTES / 1024 / 1024} MiB there and back with equal sha256, ${megabytes.toFixed(0)} MB/s`;
  },
};

const dialCheck: CheckOf<TestedAgent> = {
  name: "dial and listen",
  async run(agent) {
    const { client } = agent;
    const path = new TextDecoder().decode(agent.file("socket"));
    const endpoint = { kind: "unix", path } as const;
    const listener = await client.listen(endpoint, (channel) => void echo(channel));
    try {
      const { channel, pipe } = await client.dial(endpoint);
      await pipe.write(bytes("question"));
      await pipe.end();
      const answer = await collect(pipe);
      channel.finish();
      expectEqual("the answer", answer.toString(), "question");
      return "a connection inside the guest, with an answer after the end of input";
    } finally {
      listener.close();
    }
  },
};

/** The checks of an agent, in order. */
export const TARGET_CHECKS: readonly CheckOf<TestedAgent>[] = [
  pingCheck,
  execCheck,
  streamsCheck,
  filesCheck,
  dialCheck,
];

async function runShell(
  client: AgentClient,
  line: string,
  input: readonly Uint8Array[],
): Promise<{ stdout: Buffer; stderr: Buffer; exit: RemoteExit }> {
  const request: CommandToRun = {
    program: { kind: "vector", argv: ["sh", "-c", line].map(bytes) },
    workingDir: undefined,
    env: [],
    user: undefined,
    sandbox: undefined,
    tty: undefined,
    input: true,
  };
  const remote = client.spawn(request);
  void feedInput(remote, inOrder(input));
  const output: { stdout: Uint8Array[]; stderr: Uint8Array[] } = { stdout: [], stderr: [] };
  for await (const piece of remote) output[piece.stream].push(piece.bytes);
  return {
    stdout: Buffer.concat(output.stdout),
    stderr: Buffer.concat(output.stderr),
    exit: await remote.exited,
  };
}

async function* inOrder(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}

const BLOCK_BYTES = 256 * 1024;

async function* inBlocks(content: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < content.length; offset += BLOCK_BYTES) {
    yield content.subarray(offset, offset + BLOCK_BYTES);
  }
}

async function echo(channel: Channel): Promise<void> {
  const pipe = new ChannelPipe(channel);
  try {
    await copy(pipe, pipe);
    channel.finish();
  } catch (thrown) {
    if (thrown instanceof VsockboxError) channel.fail(thrown);
  }
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(source));
}

function sha256(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}
