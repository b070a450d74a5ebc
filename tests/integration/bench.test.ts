/** `bench serve` and `bench run` over Unix and hybrid sockets, with peers that break the rules. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { encodeControl } from "../../src/protocols/bench/control.ts";
import {
  BENCH_TESTS,
  type TestRequest,
  encodeBenchRequest,
  REQUEST_BYTES,
} from "../../src/protocols/bench/request.ts";
import { decodeBenchResponse, RESPONSE_BYTES } from "../../src/protocols/bench/response.ts";
import {
  eventually,
  Running,
  type RunResult,
  ScratchDirectory,
  TestAgent,
  vsockbox,
} from "../support/binary.ts";
import { isAtRest, openEnds, returnsTo } from "../support/at-rest.ts";
import { standsStill } from "../support/process-state.ts";
import { OwnTerminal } from "../support/own-terminal.ts";
import { expectShape, shapeOf } from "../support/json-shapes.ts";

let scratch: ScratchDirectory;
let path: string;
let address: string;
beforeEach(() => {
  scratch = new ScratchDirectory();
  path = scratch.file("bench.sock");
  address = `unix:${path}`;
});
afterEach(() => scratch[Symbol.dispose]());

async function serving(...args: string[]): Promise<Running> {
  const server = new Running(["bench", "serve", address, ...args]);
  await server.says("listening on");
  return server;
}

const run = (...args: string[]) => vsockbox(["bench", "run", address, ...args]);

interface Result {
  test: string;
  operations: number;
  duration_ms: number;
  interrupted: boolean;
  to_server_bytes: number;
  from_server_bytes: number;
  server_cpu_ms: number;
  samples: unknown[];
  stream_bytes: { to_server_bytes: number; from_server_bytes: number }[];
  latency: Record<string, number>;
  latency_from_due: boolean;
  histogram: { count: number }[];
}

const objects = ({ stdout }: Pick<RunResult, "stdout">) =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Result);

/** Sends a whole request to the server of the test. */
async function peer(bytes: Uint8Array): Promise<{ socket: Socket; answer: Promise<Buffer> }> {
  const socket = connect({ path, allowHalfOpen: true });
  socket.on("error", () => undefined);
  await new Promise((resolve) => socket.once("connect", resolve));
  const answer = new Promise<Buffer>((resolve) => {
    let received = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length >= RESPONSE_BYTES) resolve(received);
    });
    socket.once("end", () => resolve(received));
  });
  socket.write(bytes);
  return { socket, answer };
}

const upload: TestRequest = {
  kind: "control",
  test: "upload",
  streams: 1,
  messageBytes: 1024,
  durationMs: 0,
  limitBytes: 0,
};

describe("bench over a Unix socket", () => {
  test("measures everything, with the keys of docs/json.md", async () => {
    await using server = await serving();
    const result = await run("--duration", "200ms", "--json");
    expect([result.status, result.stderr]).toEqual([0, ""]);
    const results = objects(result);
    expect(results.map((one) => one.test)).toEqual([...BENCH_TESTS]);
    for (const one of results) {
      expectShape(one, shapeOf("bench run"));
      expect(one.interrupted).toBe(false);
      expect(one.duration_ms).toBeGreaterThanOrEqual(200);
      expect(one.samples.length).toBeGreaterThan(0);
    }
    const [up, down, both, latency, connects] = results;
    expect([up?.to_server_bytes, down?.from_server_bytes, both?.to_server_bytes]).toEqual([
      ...[expect.any(Number), expect.any(Number), expect.any(Number)],
    ]);
    for (const one of [latency, connects]) {
      const counted = one?.histogram.reduce((sum, { count }) => sum + count, 0);
      expect(counted).toBe(one?.operations ?? -1);
      expect(one?.operations).toBeGreaterThan(0);
      const { min_ms, p50_ms, p99_ms, max_ms } = one?.latency ?? {};
      const sorted = [min_ms, p50_ms, p99_ms, max_ms].map(Number);
      expect(sorted).toEqual(sorted.toSorted((a, b) => a - b));
    }
    await eventually("the server has logged all tests", () =>
      BENCH_TESTS.every((name) => server.stderr.includes(`: ${name} of 1 stream: `)),
    );
  });

  test("is reported by the server as JSON", async () => {
    await using server = await serving("--json");
    expect(await run("--test", "upload", "--bytes", "1MiB")).toMatchObject({ status: 0 });
    expect(await run("--test", "connects", "--count", "3")).toMatchObject({ status: 0 });
    const { socket } = await peer(encodeBenchRequest(upload));
    socket.destroy();
    await server.says("was not completed");
    server.process.kill("SIGTERM");
    await server.process.exited;
    const [listening, ...served] = objects({
      stdout: await new Response(server.process.stdout).text(),
    });
    expectShape(listening, shapeOf("bench serve, when it listens"));
    expect(listening).toMatchObject({ event: "listening", address });
    for (const one of served) expectShape(one, shapeOf("bench serve"));
    const common = { event: "served", peer: "unix", streams: 1 };
    expect(served as unknown[]).toMatchObject([
      { ...common, test: "upload", completed: true, received_bytes: 2 ** 20, connections: null },
      { ...common, test: "connects", completed: true, connections: 3, reason: null },
      { ...common, completed: false, duration_ms: null, reason: expect.any(String) },
    ]);
  });

  test.each([
    [["--test", "upload", "--count", "9"], "--count has no effect on --test upload"],
    [["--test", "connects", "--rate", "9"], "--rate has no effect on --test connects"],
    [["--test", "both", "--bytes", "1", "--duration", "1"], "--duration has no effect on"],
  ])("refuses %p, which the test ignores", async (words, message) => {
    expect(await run(...words)).toMatchObject({
      status: 64,
      stderr: expect.stringContaining(`vsockbox: bench run: ${message}`),
    });
  });

  test.each([1, 3])("--bytes is that of each of %d streams, exactly", async (streams) => {
    await using _server = await serving();
    const bytes = 3_000_001;
    const tests = ["--test", "upload", "--test", "download", "--test", "both"];
    const result = await run(
      "--bytes",
      String(bytes),
      "--streams",
      String(streams),
      ...tests,
      "--json",
    );
    const all = streams * bytes;
    expect(objects(result)).toMatchObject([
      { test: "upload", to_server_bytes: all, from_server_bytes: null },
      { test: "download", to_server_bytes: null, from_server_bytes: all },
      { test: "both", to_server_bytes: all, from_server_bytes: all },
    ]);
    const [, , both] = objects(result);
    expect(both?.stream_bytes).toEqual(
      Array.from({ length: streams }, () => ({ to_server_bytes: bytes, from_server_bytes: bytes })),
    );
  });

  test.each(["1", "100", "1MiB"])("round trips of %s bytes on several streams", async (size) => {
    await using _server = await serving();
    const words = ["--test", "latency", "--message-size", size, "--streams", "3", "--count", "30"];
    const result = await run(...words, "--warm-up", "0", "--json");
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(objects(result)).toMatchObject([{ operations: 30, latency_from_due: false }]);
  });

  test("the warm-up does not count", async () => {
    await using _server = await serving();
    const words = ["--test", "latency", "--count", "5", "--warm-up", "300ms", "--json"];
    const [result] = objects(await run(...words));
    expect(result?.operations).toBe(5);
    expect(result?.duration_ms).toBeGreaterThanOrEqual(300);
  });

  test("--rate sends no more than that, and counts from when a message was due", async () => {
    await using _server = await serving();
    const words = ["--test", "latency", "--rate", "100", "--duration", "500ms", "--json"];
    const [result] = objects(await run(...words, "--warm-up", "0"));
    expect(result?.latency_from_due).toBe(true);
    expect(result?.operations).toBeGreaterThan(0);
    expect(result?.operations).toBeLessThanOrEqual(51);
  });

  test("a pause of the server delays all messages that were due in it, with --rate", async () => {
    await using server = await serving();
    const words = ["--test", "latency", "--rate", "200", "--count", "600", "--warm-up", "0"];
    const client = new Running(["bench", "run", address, ...words, "--json"]);
    await using _client = client;
    await runs(server);
    server.process.kill("SIGSTOP");
    await Bun.sleep(500);
    server.process.kill("SIGCONT");
    const stdout = await new Response(client.process.stdout).text();
    const [result] = objects({ stdout });
    // Half a second has a hundred messages of 5 ms; without their due times it would be one.
    const late = result?.histogram.filter(
      (bucket) => (bucket as unknown as { upper_ms: number }).upper_ms > 100,
    );
    expect(late?.reduce((sum, { count }) => sum + count, 0)).toBeGreaterThan(20);
  });

  test("connects: --count connections, of several streams together", async () => {
    await using server = await serving();
    const words = ["--test", "connects", "--count", "50", "--streams", "4", "--json"];
    expect(objects(await run(...words))).toMatchObject([{ test: "connects", operations: 50 }]);
    await server.says("connects of 4 streams: 50 connections");
  });

  test("prints a table, and intervals if they are wanted", async () => {
    await using _server = await serving();
    const words = ["--test", "upload", "--test", "latency", "--duration", "500ms"];
    const { stdout, stderr, status } = await run(...words, "--interval", "150ms");
    expect([status, stderr]).toEqual([0, ""]);
    const lines = stdout.trimEnd().split("\n");
    expect(
      lines.filter((line) => /^upload, \S+ s to \S+ s: to server /.test(line)).length,
    ).toBeGreaterThan(0);
    expect(
      lines.filter((line) => /^latency, \S+ s to \S+ s: \d+\/s$/.test(line)).length,
    ).toBeGreaterThan(0);
    expect(lines.filter((line) => line.startsWith("test "))).toHaveLength(2);
    expect(stdout).toMatch(
      /^upload +to server +\S+ MB\/s +\S+ Gbit\/s +\S+ [kMG]B +0\.\d s +\d+ % +\d+ %$/m,
    );
    expect(stdout).toMatch(/^latency +\d+\/s( +\S+ (µs|ms|s)){5} +\d+ % +\d+ %$/m);
    const plain = await run(...words);
    expect(plain.stdout).not.toMatch(/ to \S+ s: /);
  });

  test("--plot writes one SVG of all tests", async () => {
    await using _server = await serving();
    const file = scratch.file("plot.svg");
    expect((await run("--duration", "200ms", "--plot", file)).status).toBe(0);
    const svg = readFileSync(file, "utf8");
    expect(svg).toStartWith("<svg ");
    expect(svg.split("<polyline")).toHaveLength(1 + 6);
    expect(svg).not.toMatch(/NaN|undefined/);
  });
});

/** Bytes that a process has read and written so far. */
function bytesOf({ pid }: Running): number {
  const counts = readFileSync(`/proc/${pid}/io`, "utf8").matchAll(/^[rw]char: (\d+)$/gm);
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}

/** Waits until a test runs: its requests and answers alone are shorter. */
async function runs(server: Running): Promise<void> {
  const before = bytesOf(server);
  await eventually("the test runs", () => bytesOf(server) > before + 5000);
}

describe("an interrupted bench", () => {
  test.each(["upload", "download", "both", "latency", "connects"])(
    "reports %s so far, and exits with 130",
    async (name) => {
      await using server = await serving();
      const words = ["--test", name, "--duration", "50", "--json"];
      await using client = new Running(["bench", "run", address, ...words]);
      await runs(server);
      client.process.kill("SIGINT");
      const stdout = await new Response(client.process.stdout).text();
      expect(await client.process.exited).toBe(130);
      expect(client.stderr).toBe("");
      expect(objects({ stdout })).toMatchObject([{ test: name, interrupted: true }]);
      await server.says(`${name} of 1 stream: `);
    },
  );

  test("does not begin the next test", async () => {
    await using _server = await serving();
    await using client = new Running(["bench", "run", address, "--duration", "50"]);
    await runs(_server);
    client.process.kill("SIGTERM");
    const stdout = await new Response(client.process.stdout).text();
    expect(await client.process.exited).toBe(143);
    expect(stdout).not.toMatch(/^download/m);
  });

  test("server exits at once, removes its socket, and the client reports the broken connection", async () => {
    await using server = await serving();
    await using client = new Running(["bench", "run", address, "--duration", "50"]);
    await runs(server);
    server.process.kill("SIGTERM");
    expect(await server.process.exited).toBe(143);
    expect(existsSync(path)).toBe(false);
    expect(await client.process.exited).toBe(255);
    await client.stderrDone;
    expect(client.stderr).toMatch(/^vsockbox: cannot (continue with|write to) /);
  });
});

describe("a server of bench", () => {
  test("refuses a second client with 77, and serves it when the first has ended", async () => {
    await using _server = await serving();
    const { socket, answer } = await peer(encodeBenchRequest(upload));
    expect(decodeBenchResponse(await answer).status).toBe("accepted");
    const refused = await run("--test", "upload", "--bytes", "1000");
    expect(refused.status).toBe(77);
    expect(refused.stderr).toContain("it serves another client");
    socket.destroy();
    await eventually("the first client is forgotten", async () => {
      return (await run("--test", "upload", "--bytes", "1000")).status === 0;
    });
  });

  test("--max-clients serves several at once", async () => {
    await using _server = await serving("--max-clients", "2");
    const { socket, answer } = await peer(encodeBenchRequest(upload));
    expect(decodeBenchResponse(await answer).status).toBe("accepted");
    expect((await run("--test", "upload", "--bytes", "1000")).status).toBe(0);
    socket.destroy();
  });

  test("refuses tests that are too long with 77", async () => {
    await using _server = await serving("--max-duration", "3");
    const { status, stderr } = await run("--duration", "4");
    expect([status, stderr]).toEqual([77, expect.stringContaining("it ends tests after 3 s")]);
    expect((await run("--test", "upload", "--duration", "200ms")).status).toBe(0);
  });

  test("--once exits after a test", async () => {
    await using server = await serving("--once");
    expect((await run("--test", "upload", "--bytes", "1000")).status).toBe(0);
    expect(await server.process.exited).toBe(0);
    expect(existsSync(path)).toBe(false);
  });

  test.each([
    ["another magic", Buffer.from("GET / HTTP/1.1\r\n\r\n"), "invalid"],
    ["values beyond the limits", encodeBenchRequest({ ...upload, streams: 65 }), "invalid"],
    [
      "an unknown token",
      encodeBenchRequest({ kind: "data", token: new Uint8Array(16), stream: 0 }),
      "unknown-test",
    ],
    ["another version", encodeBenchRequest(upload).with(9, 2), "version"],
  ] as const)("answers a request with %s", async (_what, bytes, status) => {
    await using _server = await serving();
    const { socket, answer } = await peer(bytes);
    expect(decodeBenchResponse((await answer).subarray(0, RESPONSE_BYTES)).status).toBe(status);
    socket.destroy();
    expect((await run("--test", "upload", "--bytes", "1000")).status).toBe(0);
  });

  test.each([
    ["a start without streams", encodeControl({ type: "start" })],
    ["a stop before the start", encodeControl({ type: "stop" })],
    ["a message that does not exist", Uint8Array.of(9, 0, 0, 0)],
    [
      "a result",
      encodeControl({
        type: "result",
        result: { elapsedUs: 0, cpuUserUs: 0, cpuSystemUs: 0, streams: [] },
      }),
    ],
  ])("ends a test whose client sends %s", async (what, bytes) => {
    await using server = await serving();
    const { socket, answer } = await peer(encodeBenchRequest(upload));
    expect(decodeBenchResponse(await answer).status).toBe("accepted");
    const closed = new Promise((resolve) => socket.once("end", resolve));
    socket.write(bytes);
    // A stop ends the senders of a test, of which an upload has none at the server.
    if (!what.includes("stop")) {
      await closed;
      await server.says("upload of 1 stream was not completed");
    }
    socket.destroy();
    await eventually("the next client is served", async () => {
      return (await run("--test", "upload", "--bytes", "1000")).status === 0;
    });
  });

  test("holds no descriptors of clients that have closed at any point", async () => {
    await using server = await serving();
    const open = () =>
      Number(Bun.spawnSync(["sh", "-c", `ls /proc/${server.pid}/fd | wc -l`]).stdout.toString());
    // A server that has served one has opened what it waits with.
    expect((await run("--test", "upload", "--bytes", "1000")).status).toBe(0);
    const before = await standsStill("its descriptors", open);
    const request = encodeBenchRequest(upload);
    for (let length = 0; length <= REQUEST_BYTES; length += 8) {
      const { socket } = await peer(request.subarray(0, length));
      socket.destroy();
    }
    await eventually("all descriptors are closed", () => open() === before);
  });
});

/** Sends back what comes. */
function echo(socket: Socket): void {
  socket.pipe(socket);
}

/** Returns a service that sends a text at once. */
function sending(text: string): (socket: Socket) => void {
  return (socket) => {
    socket.write(text);
  };
}

describe("a server of bench at rest", () => {
  test("is not woken up, and holds what it held before its clients", async () => {
    await using server = await serving();
    await isAtRest(server.pid);
    const before = openEnds(server.pid);
    expect((await run("--duration", "100ms")).status).toBe(0);
    const { socket } = await peer(new Uint8Array(0));
    socket.destroy();
    await returnsTo(server.pid, before);
    const switches = () =>
      /^voluntary_ctxt_switches:\s+(\d+)$/m.exec(
        readFileSync(`/proc/${server.pid}/status`, "utf8"),
      )?.[1];
    await eventually("half a second without a wake-up", async () => {
      const seen = switches();
      await Bun.sleep(500);
      return switches() === seen;
    });
  });

  test("ends at a signal", async () => {
    await using server = await serving();
    server.process.kill("SIGTERM");
    expect(await server.process.exited).toBe(143);
    expect(existsSync(path)).toBe(false);
  });

  test("serves the next client after one that was killed in a test", async () => {
    await using server = await serving();
    await using client = new Running(["bench", "run", address, "--duration", "50"]);
    await runs(server);
    client.process.kill("SIGKILL");
    await eventually("the next client is served", async () => {
      return (await run("--test", "upload", "--bytes", "1000")).status === 0;
    });
  });
});

describe("on a terminal, bench", () => {
  test("prints what each interval has carried, and erases nothing", async () => {
    await using _server = await serving();
    await using terminal = new OwnTerminal({ rows: 30, cols: 120 });
    const words = ["bench", "run", address, "--test", "upload", "--duration", "1300ms"];
    expect(await terminal.exited(terminal.run(words))).toBe(0);
    expect(terminal.text).toMatch(/^upload, 0\.0 s to 1\.\d s: to server \d+\.\d MB\/s\r$/m);
    expect(terminal.text).not.toContain("\u001B");
  });
});

describe("a client of bench", () => {
  let other: Server | undefined;
  afterEach(() => other?.close());

  /** A service of another kind. */
  async function service(onConnection: (socket: Socket) => void): Promise<void> {
    other = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => undefined);
      onConnection(socket);
    });
    await new Promise<void>((resolve) => other?.listen(path, resolve));
  }

  test.each([
    ["--duration", "0"],
    ["--duration", "0.0001"],
    ["--bytes", "0"],
    ["--count", "0"],
    ["--streams", "65"],
    ["--message-size", "2MiB"],
    ["--test", "everything"],
  ])("refuses %s %s: 64", async (option, value) => {
    const { status, stderr } = await run(option, value);
    expect([status, stderr]).toEqual([64, expect.stringContaining(`for ${option}: expected `)]);
  });

  test("without a server: 69", async () => {
    expect(await run()).toMatchObject({ status: 69, stderr: expect.stringContaining("ENOENT") });
  });

  test("names an agent that answers instead: 65", async () => {
    await using agent = await TestAgent.start();
    const { status, stderr } = await vsockbox(["bench", "run", agent.address]);
    expect([status, stderr]).toEqual([
      65,
      expect.stringContaining("a vsockbox agent answers there"),
    ]);
    expect(stderr).toContain("bench serve");
  });

  test("and an agent's client names a server of bench: 65", async () => {
    await using _server = await serving();
    const { status, stderr } = await vsockbox(["exec", address, "--", "true"]);
    expect([status, stderr]).toEqual([
      65,
      expect.stringContaining("`vsockbox bench serve` answers there"),
    ]);
    expect(stderr).toContain("vsockbox bench run");
  });

  test.each([
    ["an echo service", echo, "an echo service answers"],
    ["ssh", sending("SSH-2.0-OpenSSH_9.2\r\n".padEnd(40)), "an SSH server answers"],
    ["bytes of nothing known", sending("\0".repeat(64)), "not the answer of"],
  ] as const)("names %s: 65", async (_what, onConnection, message) => {
    await service(onConnection);
    expect(await run()).toMatchObject({ status: 65, stderr: expect.stringContaining(message) });
  });

  test("reports a peer that closes without an answer: 69", async () => {
    await service((socket) => socket.end());
    expect(await run()).toMatchObject({
      status: 69,
      stderr: expect.stringMatching(
        /closed the connection without an answer[^]*hint: .*bench serve/,
      ),
    });
  });

  test("waits no longer than --connect-timeout for an answer: 75", async () => {
    await service(() => undefined);
    expect(await run("--connect-timeout", "300ms")).toMatchObject({
      status: 75,
      stderr: expect.stringMatching(/no answer in time[^]*--connect-timeout/),
    });
  });

  test("names the version of a server that has another one: 65", async () => {
    await service((socket) => {
      const answer = new Uint8Array(RESPONSE_BYTES);
      answer.set(Buffer.from("VSBXBNAN"));
      answer.set([0, 2, 1], 8);
      socket.write(answer);
    });
    expect(await run()).toMatchObject({
      status: 65,
      stderr: expect.stringMatching(/it has version 2 of the protocol, and this is version 1/),
    });
  });

  test("the word bench alone is an error that names both commands", async () => {
    const { status, stderr } = await vsockbox(["bench"]);
    expect([status, stderr]).toEqual([
      64,
      expect.stringContaining("`vsockbox bench serve` or `vsockbox bench run`"),
    ]);
  });
});

/** A VMM's socket for a service that listens at `target`. */
function hybridRelay(target: string): Server {
  return createServer({ allowHalfOpen: true }, (client: Socket) => {
    client.on("error", () => undefined);
    client.once("data", (line: Buffer) => {
      const inner: Socket = connect({ path: target, allowHalfOpen: true });
      inner.on("error", () => undefined);
      client.write(line.toString() === "CONNECT 5201\n" ? "OK 1073741824\n" : "no\n");
      client.pipe(inner);
      inner.pipe(client);
      client.on("close", () => void inner.destroy());
      inner.on("close", () => void client.destroy());
    });
  });
}

describe("bench over a hybrid socket", () => {
  test("from the guest's side: the server listens on the port's own socket", async () => {
    address = `hybrid:${path}:5201`;
    await using _server = await serving();
    expect(existsSync(`${path}_5201`)).toBe(true);
    const words = ["--bytes", "100000", "--count", "20", "--json"];
    const result = await vsockbox(["bench", "run", `unix:${path}_5201`, ...words]);
    expect(objects(result)).toMatchObject([
      ...[{ to_server_bytes: 100_000 }, { from_server_bytes: 100_000 }],
      ...[{ to_server_bytes: 100_000 }, { operations: 20 }, { operations: 20 }],
    ]);
  });

  test("from the host's side: each connection begins with the handshake", async () => {
    await using _server = await serving();
    const upper = scratch.file("vm.vsock");
    const relay = hybridRelay(path);
    await new Promise<void>((resolve) => relay.listen(upper, resolve));
    try {
      const words = ["--bytes", "100000", "--count", "20", "--streams", "2", "--json"];
      // Without a port it is that of bench.
      const result = await vsockbox(["bench", "run", `hybrid:${upper}`, ...words]);
      expect(result).toMatchObject({ status: 0, stderr: "" });
      expect(objects(result)).toMatchObject([
        ...[{ to_server_bytes: 200_000 }, { from_server_bytes: 200_000 }],
        ...[{ to_server_bytes: 200_000 }, { operations: 20 }, { operations: 20 }],
      ]);
    } finally {
      relay.close();
    }
  });
});

describe("the word bench alone", () => {
  test.each([[["bench", "--help"]], [["bench", "-h"]], [["help", "bench"]]])(
    "%j lists both commands",
    async (words) => {
      const { status, stdout } = await vsockbox(words);
      expect(status).toBe(0);
      expect(stdout).toContain("\n  bench serve  ");
      expect(stdout).toContain("\n  bench run    ");
    },
  );

  test.each([
    [["bench"], "vsockbox: bench: expected a command\n"],
    [["bench", "sever"], 'vsockbox: unknown command "bench sever"\n'],
  ])("%j is refused with both commands in the hint", async (words, error) => {
    expect(await vsockbox(words)).toEqual({
      status: 64,
      stdout: "",
      stderr: `${error}  hint: \`vsockbox bench serve\` or \`vsockbox bench run\`\n`,
    });
  });
});
