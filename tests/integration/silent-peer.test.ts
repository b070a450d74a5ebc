/** Peers that accept, or greet, and then are silent: every client ends, and says so. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync, constants, openSync, readFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { encodeJsonFrame, FrameType } from "../../src/protocols/agent/frame.ts";
import { encodeHello, FEATURES } from "../../src/protocols/agent/hello.ts";
import { CHANNEL_WINDOW_BYTES } from "../../src/protocols/agent/credit.ts";
import {
  BINARY,
  eventually,
  Running,
  ScratchDirectory,
  TestAgent,
  vsockbox,
} from "../support/binary.ts";

const HELLO = encodeJsonFrame(
  FrameType.Hello,
  encodeHello({
    protocol: 1,
    version: "silent",
    features: FEATURES,
    window: CHANNEL_WINDOW_BYTES,
    token: undefined,
  }),
);

/** Sends `greeting` for the first bytes of each client, and nothing more. */
class SilentServer implements AsyncDisposable {
  readonly address: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  connections = 0;

  private constructor(path: string, greeting: Uint8Array | undefined) {
    this.address = `unix:${path}`;
    this.#server = createServer((socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.once("data", () => {
        if (greeting !== undefined) socket.write(greeting);
      });
      socket.resume();
    });
  }

  static async start(path: string, greeting?: Uint8Array): Promise<SilentServer> {
    const server = new SilentServer(path, greeting);
    await new Promise<void>((resolve) => server.#server.listen(path, resolve));
    return server;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

let scratch: ScratchDirectory;
let mute: SilentServer;
let greeter: SilentServer;
beforeAll(async () => {
  scratch = new ScratchDirectory();
  mute = await SilentServer.start(scratch.file("mute.sock"));
  greeter = await SilentServer.start(scratch.file("greeter.sock"), HELLO);
  await Bun.write(scratch.file("file"), "content");
});
afterAll(async () => {
  await mute[Symbol.asyncDispose]();
  await greeter[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

/** Each client command, for the address of an agent. */
const CLIENTS: [name: string, words: (agent: string) => string[]][] = [
  ["ps", (agent) => ["ps", agent]],
  ["info", (agent) => ["info", agent]],
  ["ping", (agent) => ["ping", agent]],
  ["ls", (agent) => ["ls", `${agent}:/`]],
  ["cat", (agent) => ["cat", `${agent}:/etc/hosts`]],
  ["stat", (agent) => ["stat", `${agent}:/`]],
  ["mkdir", (agent) => ["mkdir", `${agent}:/tmp/x`]],
  ["mv", (agent) => ["mv", `${agent}:/tmp/x`, `${agent}:/tmp/y`]],
  ["rm", (agent) => ["rm", `${agent}:/tmp/x`]],
  ["cp to it", (agent) => ["cp", scratch.file("file"), `${agent}:/tmp/`]],
  ["cp from it", (agent) => ["cp", `${agent}:/etc/hosts`, scratch.path]],
  ["cp from guest to guest", (agent) => ["cp", `${agent}:/etc/hosts`, `${agent}:/tmp/`]],
  ["cp of a pattern", (agent) => ["cp", `${agent}:/etc/*`, scratch.path]],
  ["exec", (agent) => ["exec", agent, "--", "true"]],
  ["exec -n", (agent) => ["exec", "-n", agent, "--", "true"]],
  ["exec of a line", (agent) => ["exec", agent, "-c", "true"]],
  ["exec -d", (agent) => ["exec", "-d", agent, "--", "true"]],
  ["logs", (agent) => ["logs", "--follow", agent, "x"]],
  ["attach", (agent) => ["attach", agent, "x"]],
  ["kill", (agent) => ["kill", agent, "x"]],
  ["shutdown", (agent) => ["shutdown", agent]],
  ["watch", (agent) => ["watch", `${agent}:/tmp`]],
  ["share", (agent) => ["share", scratch.path, `${agent}:/tmp/x`]],
  ["sync", (agent) => ["sync", scratch.path, `${agent}:/tmp/x`]],
  ["forward -R", (agent) => ["forward", agent, "-R", "0:localhost:1"]],
];

const hasty = ([command = "", ...words]: string[]) => [
  ...[command, "--connect-timeout", "300ms"],
  ...words,
];

describe("a peer that accepts and never answers", () => {
  test.each([
    ...CLIENTS,
    ["forward -L", (agent: string) => ["forward", agent, "-L", "0:localhost:1"]],
    [
      "shell-client upload",
      (agent: string) => ["shell-client", agent, "-u", `${scratch.file("file")}:/tmp/x`],
    ],
    [
      "shell-client download",
      (agent: string) => ["shell-client", agent, "-d", `/etc/hosts:${scratch.file("got")}`],
    ],
    ["connect to a hybrid socket", (agent: string) => ["connect", `hybrid:${agent.slice(5)}:5000`]],
  ] as typeof CLIENTS)("ends %s with 75", async (_name, words) => {
    const run = await vsockbox(hasty(words(mute.address)));
    expect(run).toMatchObject({ status: 75 });
    expect(run.stderr).toMatch(/no answer (in time|within 0\.3 s)/);
  });

  test("is not ready", async () => {
    const run = await vsockbox(["wait", mute.address, "--timeout", "700ms"]);
    expect(run).toMatchObject({ status: 75 });
    expect(run.stderr).toContain("no answer was received");
    expect(await vsockbox(["wait", mute.address, "--connect-only"])).toMatchObject({ status: 0 });
  });
});

describe("a peer that greets and never answers", () => {
  test.each(CLIENTS)("ends %s with 75", async (_name, words) => {
    const run = await vsockbox(hasty(words(greeter.address)));
    expect(run).toMatchObject({ status: 75 });
    expect(run.stderr).toMatch(
      /nothing was received from the agent for 0\.\d s, not even the answer to a ping/,
    );
  });

  test("can be left by the first signal, which is the reason of the end", async () => {
    const left: [string[], "SIGINT" | "SIGTERM"][] = [
      [["ps", greeter.address], "SIGINT"],
      [["exec", greeter.address, "--", "true"], "SIGINT"],
      [["exec", "--json", greeter.address, "--", "true"], "SIGTERM"],
      [["exec", mute.address, "--", "true"], "SIGTERM"],
      [["cp", `${greeter.address}:/etc/hosts`, scratch.path], "SIGTERM"],
      [["attach", greeter.address, "x"], "SIGTERM"],
      [["forward", mute.address, "-L", "0:localhost:1"], "SIGINT"],
      [["wait", mute.address], "SIGTERM"],
      [["watch", `${mute.address}:/tmp`], "SIGINT"],
      [["watch", `${greeter.address}:/tmp`], "SIGTERM"],
      [["share", scratch.path, `${mute.address}:/tmp/x`], "SIGINT"],
      [["share", scratch.path, `${greeter.address}:/tmp/x`], "SIGTERM"],
      [["mount", mute.address, scratch.path], "SIGINT"],
    ];
    for (const [words, signal] of left) {
      const server = words.some((word) => word.startsWith(mute.address)) ? mute : greeter;
      const before = server.connections;
      await using run = new Running(words);
      await eventually("it connects", () => server.connections > before);
      run.process.kill(signal);
      const status = await run.process.exited;
      expect([words[0], status]).toEqual([words[0], signal === "SIGINT" ? 130 : 143]);
    }
  });
});

/** Bytes that a process has written with write(2) and its like. */
function writtenBytes(pid: number): number {
  return Number(/^wchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, "utf8"))?.[1]);
}

describe("an agent that is stopped", () => {
  test("in the middle of an upload ends it", async () => {
    await using agent = await TestAgent.start();
    await using run = new Running([
      ...["cp", "--keepalive", "200ms", "--connect-timeout", "5", "-"],
      `${agent.address}:${agent.scratch.file("copy")}`,
    ]);
    run.process.stdin.write(new Uint8Array(1024 * 1024));
    await run.process.stdin.flush();
    await eventually("the agent writes them", () => writtenBytes(agent.running.pid) >= 1024 * 1024);
    process.kill(agent.running.pid, "SIGSTOP");
    await run.stderrDone;
    expect(await run.process.exited).toBe(75);
    expect(run.stderr).toContain("nothing was received from the agent");
  });

  test("is not ready, and is once it goes on", async () => {
    await using agent = await TestAgent.start();
    process.kill(agent.running.pid, "SIGSTOP");
    expect(await vsockbox(["wait", agent.address, "--timeout", "500ms"])).toMatchObject({
      status: 75,
    });
    const later = vsockbox(["wait", agent.address]);
    process.kill(agent.running.pid, "SIGCONT");
    expect(await later).toMatchObject({ status: 0 });
  });

  test("a ready port that accepts and does not close is not ready either", async () => {
    using own = new ScratchDirectory();
    await using listening = new Running([
      ...["agent", "--listen", `unix:${own.file("a")}`, "--ready-listen", `unix:${own.file("r")}`],
    ]);
    await listening.says("listening on");
    const address = `unix:${own.file("r")}`;
    expect(await vsockbox(["wait", address])).toMatchObject({ status: 0 });
    process.kill(listening.pid, "SIGSTOP");
    expect(await vsockbox(["wait", address, "--timeout", "500ms"])).toMatchObject({ status: 75 });
  });
});

describe("an agent that lives", () => {
  test("is not left for a command that prints nothing for many intervals", async () => {
    await using agent = await TestAgent.start();
    const start = [
      "exec",
      "-d",
      agent.address,
      "--name",
      "quiet",
      "--",
      "sh",
      "-c",
      "sleep 6; echo end",
    ];
    expect(await vsockbox(start)).toMatchObject({ status: 0 });
    const run = [
      "logs",
      "--follow",
      agent.address,
      "quiet",
      "--keepalive",
      "500ms",
      "--connect-timeout",
      "1",
    ];
    expect(await vsockbox(run)).toMatchObject({ status: 0, stdout: "end\n" });
  });

  test("is not left by a client that was stopped itself", async () => {
    await using agent = await TestAgent.start();
    const fifo = agent.scratch.file("fifo");
    Bun.spawnSync(["mkfifo", fifo]);
    const start = ["exec", "-d", agent.address, "--name", "quiet", "--", "cat", fifo];
    expect(await vsockbox(start)).toMatchObject({ status: 0 });
    const words = ["logs", "--follow", agent.address, "quiet", "--connect-timeout", "1"];
    await using run = new Running([...words, "--keepalive", "50ms"]);
    await Bun.sleep(300);
    process.kill(run.pid, "SIGSTOP");
    await Bun.sleep(1500);
    process.kill(run.pid, "SIGCONT");
    await Bun.write(Bun.file(fifo), "end\n");
    expect(await new Response(run.process.stdout).text()).toBe("end\n");
    expect(await run.process.exited).toBe(0);
  });
});

describe("a client", () => {
  test("never survives two signals, whatever it waits for", async () => {
    await using agent = await TestAgent.start();
    const start = [
      "exec",
      "-d",
      agent.address,
      "--name",
      "loud",
      "--",
      "head",
      "-c",
      "8M",
      "/dev/zero",
    ];
    expect(await vsockbox(start)).toMatchObject({ status: 0 });
    const fifo = agent.scratch.file("fifo");
    Bun.spawnSync(["mkfifo", fifo]);
    const unread = openSync(fifo, constants.O_RDWR);
    const run = Bun.spawn([BINARY, "logs", "--follow", agent.address, "loud"], {
      stdout: unread,
      stderr: "ignore",
      env: { ...process.env, VSOCKBOX_NO_VSOCK: "1" },
    });
    try {
      await eventually("the pipe is full", () => {
        return writtenBytes(run.pid) >= 65_536;
      });
      run.kill("SIGTERM");
      run.kill("SIGINT");
      expect([130, 143]).toContain(await run.exited);
    } finally {
      run.kill("SIGKILL");
      closeSync(unread);
    }
  });
});
