/** `vsockbox forward` to real servers behind the agent. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { eventually, Running, ScratchDirectory, TestAgent, vsockbox } from "../support/binary.ts";

let agent: TestAgent;
let scratch: ScratchDirectory;
let web: Bun.Server<undefined>;
let counter: Server;
let counterPort: number;
beforeAll(async () => {
  agent = await TestAgent.start();
  scratch = new ScratchDirectory();
  web = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) => new Response(new URL(request.url).pathname),
  });
  // Answers only after the end of input.
  counter = createServer({ allowHalfOpen: true }, (socket) => {
    let count = 0;
    socket.on("data", (chunk) => (count += chunk.length));
    socket.on("end", () => socket.end(`got ${count}`));
    socket.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => counter.listen(0, "127.0.0.1", resolve));
  const address = counter.address();
  counterPort = typeof address === "object" && address !== null ? address.port : 0;
});
afterAll(async () => {
  await web.stop(true);
  counter.close();
  await agent[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

interface Ready {
  listening: string;
  target: string;
  to: string;
}

async function forwarding(...specs: string[]): Promise<[running: Running, ready: Ready[]]> {
  const running = new Running([
    "forward",
    agent.address,
    "--json",
    ...specs.flatMap((spec) => ["-L", spec]),
  ]);
  const reader = running.process.stdout.getReader();
  let text = "";
  while (text.split("\n").length <= specs.length) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`it ended: ${running.stderr}`);
    text += new TextDecoder().decode(value);
  }
  const lines = text.trim().split("\n");
  return [running, lines.map((line) => JSON.parse(line) as Ready)];
}

function halfClosed(
  target: { port: number } | { path: string },
  data: Uint8Array,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      allowHalfOpen: true,
      ...target,
      ...("port" in target ? { host: "127.0.0.1" } : {}),
    });
    let answer = "";
    socket.on("data", (chunk) => (answer += chunk.toString()));
    socket.on("end", () => resolve(answer));
    socket.on("error", reject);
    socket.end(data);
  });
}

const portOf = (ready: Ready | undefined) => Number(ready?.listening.split(":").at(-1));

describe("forward -L", () => {
  test("200 HTTP requests at once are all answered", async () => {
    const [running, ready] = await forwarding(`0:127.0.0.1:${web.port}`);
    await using _running = running;
    const answers = await Promise.all(
      Array.from({ length: 200 }, async (_, index) => {
        const response = await fetch(`http://127.0.0.1:${portOf(ready[0])}/${index}`, {
          headers: { connection: "close" },
        });
        return response.text();
      }),
    );
    expect(answers).toEqual(Array.from({ length: 200 }, (_, index) => `/${index}`));
    const descriptors = () => readdirSync(`/proc/${running.pid}/fd`).length;
    await eventually("descriptors closed", () => descriptors() < 60);
  });

  test("several at once, TCP and Unix, with half-close carried over", async () => {
    const path = scratch.file("f.sock");
    const [running, ready] = await forwarding(
      `0:localhost:${counterPort}`,
      `${path}:127.0.0.1:${counterPort}`,
    );
    await using _running = running;
    const data = new Uint8Array(3_000_000);
    expect(ready[1]?.listening).toBe(`unix:${path}`);
    expect(await halfClosed({ port: portOf(ready[0]) }, data)).toBe("got 3000000");
    expect(await halfClosed({ path }, data)).toBe("got 3000000");
    running.process.kill("SIGTERM");
    expect(await running.process.exited).toBe(0);
    expect(existsSync(path)).toBe(false);
  });

  test("a port without a listener ends that connection and is logged", async () => {
    const [running, ready] = await forwarding("0:127.0.0.1:1");
    await using _running = running;
    await halfClosed({ port: portOf(ready[0]) }, new Uint8Array(1)).catch(() => undefined);
    await running.says("127.0.0.1:1");
    expect(running.stderr).toContain("cannot connect to 127.0.0.1:1: ");
    expect(running.process.exitCode).toBeNull();
  });

  test("names the TCP client that resets its connection", async () => {
    const [running, [ready]] = await forwarding(`0:localhost:${web.port}`);
    await using _running = running;
    const port = Number(ready?.listening.split(":").at(-1));
    const socket = connect(port, "127.0.0.1");
    await new Promise<void>((resolve) => socket.once("connect", () => resolve()));
    const own = socket.localPort;
    // Once it is answered, the connection is carried from end to end.
    socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    await new Promise<void>((resolve) => socket.once("data", () => resolve()));
    socket.resetAndDestroy();
    await running.says(
      `cannot continue with 127.0.0.1:${own}: the peer reset the connection (ECONNRESET)`,
    );
  });

  test("an agent that is started again is found again", async () => {
    const other = await TestAgent.start();
    const running = new Running([
      "forward",
      other.address,
      "-L",
      `${scratch.file("g.sock")}:127.0.0.1:${counterPort}`,
    ]);
    await using _running = running;
    await running.says("forwarding");
    const ask = () => halfClosed({ path: scratch.file("g.sock") }, new Uint8Array(5));
    expect(await ask()).toBe("got 5");
    other.running.process.kill("SIGKILL");
    await other.running.process.exited;
    await ask().catch(() => undefined);
    await using again = new Running(["agent", "--listen", other.address]);
    await again.says("listening on");
    expect(await ask()).toBe("got 5");
    await other[Symbol.asyncDispose]();
  });

  test("errors of the command line come before anything is opened", async () => {
    expect(await vsockbox(["forward", agent.address])).toMatchObject({ status: 64 });
    expect(await vsockbox(["forward", agent.address, "-L", "80"])).toMatchObject({
      status: 64,
      stderr: expect.stringContaining("[BIND:]PORT:HOST:PORT"),
    });
    const taken = `${web.port}:localhost:1`;
    expect(await vsockbox(["forward", agent.address, "-L", taken])).toMatchObject({
      status: 73,
      stderr: expect.stringContaining(`127.0.0.1:${web.port}`),
    });
  });
});

/** The ready lines of a running forward as they come. */
async function started(address: string, ...args: string[]) {
  const running = new Running(["forward", address, "--json", ...args]);
  const reader = running.process.stdout.getReader();
  let text = "";
  let read = 0;
  const next = async (): Promise<Ready & { direction: string }> => {
    while (text.split("\n").length <= read + 1) {
      const { value, done } = await reader.read();
      if (done) throw new Error(`it ended: ${running.stderr}`);
      text += new TextDecoder().decode(value);
    }
    return JSON.parse(text.split("\n")[read++] ?? "") as Ready & { direction: string };
  };
  return { running, next };
}

const fetchThrough = async (listening: string, path: string) =>
  (await fetch(`http://${listening}${path}`)).text();

describe("forward -R", () => {
  test("200 requests at once to a port of the guest are answered here", async () => {
    const { running, next } = await started(agent.address, "-R", `0:localhost:${web.port}`);
    await using _running = running;
    const { listening, direction, to } = await next();
    expect([direction, to]).toEqual(["remote", `localhost:${web.port}`]);
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, index) => fetchThrough(listening, `/${index}`)),
    );
    expect(answers).toEqual(answers.map((_, index) => `/${index}`));
  });

  test("half-close is carried over, and the listener goes with the command", async () => {
    const path = scratch.file("r.sock");
    const { running, next } = await started(
      agent.address,
      ...["-R", `${path}:localhost:${counterPort}`],
      ...["-L", `${scratch.file("l.sock")}:${path}`],
    );
    expect((await next()).direction).toBe("local");
    expect((await next()).listening).toBe(`unix:${path}`);
    expect(await countThrough(scratch.file("l.sock"), 3_000_000)).toBe("got 3000000");
    running.process.kill("SIGINT");
    expect(await running.process.exited).toBe(0);
    await eventually("the guest's socket is gone", () => !existsSync(path));
  });

  test("a port that is in use in the guest is an error", async () => {
    const result = await vsockbox(["forward", agent.address, "-R", `${counterPort}:localhost:1`]);
    expect(result.status).toBe(73);
    expect(result.stderr).toContain(String(counterPort));
  });

  test("a local end that is not there ends that connection alone", async () => {
    const { running, next } = await started(agent.address, "-R", "0:localhost:1");
    await using _running = running;
    const { listening } = await next();
    for (let count = 0; count < 3; count++) {
      await expect(fetchThrough(listening, "/")).rejects.toThrow();
    }
    await eventually("it says so", () => running.stderr.includes("localhost:1"));
    expect(running.process.exitCode).toBe(null);
  });

  test("--reconnect opens the listener again when the agent is back", async () => {
    const socket = scratch.file("mortal.sock");
    const mortal = () => new Running(["agent", "--listen", `unix:${socket}`]);
    const first = mortal();
    await first.says("listening on");
    const { running, next } = await started(
      `unix:${socket}`,
      ...["-R", `0:localhost:${web.port}`, "--reconnect"],
    );
    await using _running = running;
    expect(await fetchThrough((await next()).listening, "/before")).toBe("/before");
    await first[Symbol.asyncDispose]();
    await running.says("reconnecting");
    await using second = mortal();
    await second.says("listening on");
    expect(await fetchThrough((await next()).listening, "/after")).toBe("/after");
  });

  test("without it the end of the agent is the end", async () => {
    const socket = scratch.file("once.sock");
    const only = new Running(["agent", "--listen", `unix:${socket}`]);
    await only.says("listening on");
    const { running, next } = await started(`unix:${socket}`, "-R", `0:localhost:${web.port}`);
    await next();
    await only[Symbol.asyncDispose]();
    expect(await running.process.exited).toBe(255);
    expect(running.stderr).toContain("--reconnect");
  });
});

/** Sends bytes and the end of input to a Unix socket; gives the whole answer. */
function countThrough(path: string, bytes: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect({ path, allowHalfOpen: true });
    socket.on("data", (chunk) => (answer += chunk.toString()));
    socket.on("end", () => resolve(answer));
    socket.on("error", reject);
    socket.end(new Uint8Array(bytes));
  });
}
