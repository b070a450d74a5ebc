/** Metrics of agents: over the agent's protocol, over HTTP in the guest, and as a scrape target on the host. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { encodeJsonFrame, FrameType } from "../../src/protocols/agent/frame.ts";
import { FEATURES } from "../../src/protocols/agent/hello.ts";
import {
  eventually,
  Running,
  type RunResult,
  ScratchDirectory,
  shell,
  TestAgent,
  vsockbox,
} from "../support/binary.ts";
import { type ReadMetric, readExposition } from "../support/exposition.ts";
import { hostileAgent } from "../support/hostile-agent.ts";
import { describeWith, findTool } from "../support/tools.ts";

const FIXTURES = join(import.meta.dir, "../fixtures");

let scratch: ScratchDirectory;
beforeEach(() => {
  scratch = new ScratchDirectory();
});
afterEach(() => scratch[Symbol.dispose]());

/** The value of the one sample that has these labels, among others. */
function valueOf(
  metrics: ReadonlyMap<string, ReadMetric>,
  name: string,
  labels: Record<string, string> = {},
): number | undefined {
  const found = metrics.get(name)?.samples.filter((sample) => {
    return Object.entries(labels).every(([label, value]) => sample.labels[label] === value);
  });
  if ((found?.length ?? 0) > 1) throw new Error(`${name} has several such samples`);
  return found?.[0]?.value;
}

async function metricsOf(...words: string[]) {
  const result = await vsockbox(["metrics", ...words]);
  expect(result.status).toBe(0);
  return { ...result, metrics: readExposition(result.stdout) };
}

describe("the metrics of an agent", () => {
  let agent: TestAgent;
  beforeAll(async () => {
    agent = await TestAgent.start(["--max-memory", "64MiB", "--max-sessions", "7"]);
  });
  afterAll(() => agent[Symbol.asyncDispose]());

  test("show its guest as the kernel does, in base units", async () => {
    const before = Date.now() / 1000;
    const { metrics, stderr } = await metricsOf(agent.address);
    expect(stderr).toBe("");
    const of = (name: string, labels?: Record<string, string>) =>
      valueOf(metrics, `vsockbox_guest_${name}`, labels) ?? Number.NaN;
    const kernel = readFileSync("/proc/meminfo", "utf8");
    const [, kilobytes] = /^MemTotal: +(\d+) kB$/m.exec(kernel) ?? [];
    expect(of("memory_total_bytes")).toBe(Number(kilobytes) * 1024);
    expect(of("memory_available_bytes")).toBeLessThan(of("memory_total_bytes"));
    const [, boot] = /^btime (\d+)$/m.exec(readFileSync("/proc/stat", "utf8")) ?? [];
    expect(Math.abs(of("boot_time_seconds") - Number(boot))).toBeLessThanOrEqual(1);
    expect(of("time_seconds")).toBeGreaterThanOrEqual(before);
    expect(of("uptime_seconds")).toBeGreaterThan(0);
    expect(of("cpus")).toBe(navigator.hardwareConcurrency);
    expect(of("cpu_seconds_total", { mode: "user" })).toBeGreaterThan(0);
    expect(metrics.get("vsockbox_guest_cpu_seconds_total")?.samples).toHaveLength(8);
    const { stdout } = await shell("stat --file-system --format '%b %S' /");
    const [blocks = 0, blockBytes = 0] = stdout.trim().split(" ").map(Number);
    expect(of("filesystem_size_bytes", { mountpoint: "/" })).toBe(blocks * blockBytes);
    expect(of("filesystem_error", { mountpoint: "/" })).toBe(0);
    const hasPressure = existsSync("/proc/pressure/memory");
    expect(metrics.has("vsockbox_guest_pressure_seconds_total")).toBe(hasPressure);
    const interfaces = readFileSync("/proc/net/dev", "utf8").match(/^ *\S+:/gm) ?? [];
    const hasNetwork = interfaces.some((name) => name.trim() !== "lo:");
    expect(metrics.has("vsockbox_guest_network_bytes_total")).toBe(hasNetwork);
  });

  test("show its process, limits and clock", async () => {
    const { metrics } = await metricsOf(agent.address);
    const of = (name: string) => valueOf(metrics, `vsockbox_${name}`) ?? Number.NaN;
    expect(of("up")).toBe(1);
    expect(Math.abs(of("clock_offset_seconds"))).toBeLessThan(60);
    expect(of("scrape_duration_seconds")).toBeGreaterThan(0);
    expect(of("agent_build_info")).toBe(1);
    expect(of("agent_sessions_limit")).toBe(7);
    expect(of("agent_buffers_limit_bytes")).toBe(64 * 1024 * 1024);
    expect(of("agent_process_resident_memory_bytes")).toBeGreaterThan(1024 * 1024);
    expect(of("agent_process_open_fds")).toBeGreaterThan(3);
    expect(of("agent_process_max_fds")).toBeGreaterThan(of("agent_process_open_fds"));
    expect(of("agent_process_cpu_seconds_total")).toBeGreaterThan(0);
    expect(of("agent_process_start_time_seconds")).toBeLessThan(Date.now() / 1000);
  });

  test("count sessions, bytes, and commands by kind and outcome", async () => {
    const read = async () => {
      const { metrics } = await metricsOf(agent.address);
      return (name: string, labels?: Record<string, string>) =>
        valueOf(metrics, `vsockbox_agent_${name}`, labels) ?? Number.NaN;
    };
    const before = await read();
    // The one that asks.
    expect(before("sessions")).toBe(1);
    expect(before("detached_commands")).toBe(0);
    const bytes = 1_000_000;
    const exec = (...words: string[]) => vsockbox(["exec", agent.address, ...words]);
    expect((await exec("--", "head", "-c", `${bytes}`, "/dev/zero")).stdout).toHaveLength(bytes);
    expect((await exec("--", "no-such-program")).status).toBe(127);
    const detached = await exec("--detach", "--name", "metrics", "--", "sleep", "1000");
    expect(detached.status).toBe(0);
    await execOfGoClient(agent.path);
    const after = await read();
    const grown = (name: string, labels?: Record<string, string>) =>
      after(name, labels) - before(name, labels);
    expect(grown("commands_started_total", { kind: "attached" })).toBe(1);
    expect(grown("commands_started_total", { kind: "detached" })).toBe(1);
    expect(grown("commands_started_total", { kind: "go" })).toBe(1);
    expect(grown("command_start_failures_total")).toBe(1);
    expect(after("detached_commands")).toBe(1);
    // Three commands, one client of the Go agent, and the scrape.
    expect(grown("sessions_opened_total")).toBe(5);
    expect(grown("bytes_total", { direction: "from_guest" })).toBeGreaterThan(bytes);
    expect(grown("bytes_total", { direction: "from_guest" })).toBeLessThan(1.2 * bytes);
    expect(grown("bytes_total", { direction: "to_guest" })).toBeGreaterThan(500);
    await vsockbox(["kill", agent.address, "metrics"]);
    expect((await read())("detached_commands")).toBe(0);
  });

  test("count refused peers by reason, and sessions that failed", async () => {
    const token = scratch.file("token");
    await shell(`umask 077; echo a-secret-of-the-test > ${token}`);
    await using guarded = await TestAgent.start(["--token-file", token, "--max-sessions", "2"]);
    const words = ["--token-file", token, guarded.address];
    expect((await vsockbox(["exec", guarded.address, "--", "true"])).status).toBe(77);
    {
      await using first = new Running(["ping", "--count", "0", "--verbose", ...words]);
      await first.says("has answered");
      await using second = new Running(["ping", "--count", "0", "--verbose", ...words]);
      await second.says("has answered");
      expect((await vsockbox(["exec", ...words, "--", "true"])).status).toBe(77);
    }
    await sendGarbage(guarded.path);
    await eventually("a free session", async () => {
      const { stdout } = await vsockbox(["metrics", ...words]);
      return stdout.includes("vsockbox_up") && stdout.includes("vsockbox_agent_sessions{");
    });
    const { metrics } = await metricsOf(...words);
    const refused = (reason: string) =>
      valueOf(metrics, "vsockbox_agent_refusals_total", { reason });
    expect(refused("token")).toBeGreaterThanOrEqual(1);
    expect(refused("sessions")).toBeGreaterThanOrEqual(1);
    expect(refused("cid")).toBe(0);
    expect(valueOf(metrics, "vsockbox_agent_sessions_failed_total")).toBeGreaterThanOrEqual(1);
  });
});

/** Runs `true` as matchlock's client does, and waits for its result. */
async function execOfGoClient(path: string): Promise<void> {
  const answered = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    unix: path,
    socket: { data: () => answered.resolve(), close: () => answered.resolve() },
  });
  socket.write(encodeJsonFrame(FrameType.Exec, { command: "true" }));
  await answered.promise;
  socket.end();
}

/** Sends a frame that begins no session, and waits until the agent has closed. */
async function sendGarbage(path: string): Promise<void> {
  const closed = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    unix: path,
    socket: { data: () => undefined, close: () => closed.resolve() },
  });
  socket.write(encodeJsonFrame(FrameType.Hello, { protocol: "x" }));
  await closed.promise;
}

describe("several targets", () => {
  test("have metrics side by side, whichever of them do not answer", async () => {
    await using first = await TestAgent.start();
    await using second = await TestAgent.start();
    await using stopped = await TestAgent.start();
    stopped.running.process.kill("SIGSTOP");
    const missing = `unix:${scratch.file("missing.sock")}`;
    const names = [first.address, missing, stopped.address, second.address];
    const { metrics, stderr } = await metricsOf("--timeout", "1s", ...names);
    const up = names.map((target) => valueOf(metrics, "vsockbox_up", { target }));
    expect(up).toEqual([1, 0, 0, 1]);
    for (const { samples } of metrics.values()) {
      for (const { labels } of samples) expect(names).toContain(labels["target"] ?? "");
    }
    const loads = metrics.get("vsockbox_guest_load1")?.samples ?? [];
    expect(loads.map(({ labels }) => labels["target"])).toEqual([first.address, second.address]);
    expect(stderr).toContain(`vsockbox: warning: ${missing}: cannot connect to`);
    expect(stderr).toContain(`${stopped.address}: cannot read metrics: no answer within 1 s`);
    expect(stderr.match(/warning/g)).toHaveLength(2);
  });

  test("may be agents that have no metrics: they are up, with one warning", async () => {
    const [old, go] = [scratch.file("old.sock"), scratch.file("go.sock")];
    const features = FEATURES.filter((name) => name !== "metrics");
    const asked: unknown[] = [];
    using _old = hostileAgent(old, (_, request) => void asked.push(request), { features });
    const goAgent = Bun.spawn([process.execPath, join(FIXTURES, "go-agent.ts"), go]);
    try {
      await eventually("the Go agent's socket", () => existsSync(go));
      const { metrics, stderr } = await metricsOf(`unix:${old}`, `unix:${go}`);
      expect(valueOf(metrics, "vsockbox_up", { target: `unix:${old}` })).toBe(1);
      expect(valueOf(metrics, "vsockbox_up", { target: `unix:${go}` })).toBe(1);
      expect([...metrics.keys()].filter((name) => /_(?:agent|guest)_/.test(name))).toEqual([]);
      for (const target of [`unix:${old}`, `unix:${go}`])
        expect(stderr).toContain(`${target}: the agent is too old for metrics`);
      expect(asked).toEqual([]);
    } finally {
      goAgent.kill("SIGKILL");
      await goAgent.exited;
    }
  });

  const NAME = "vsockbox_guest_load1";
  const sample = { value: 1, labels: {} };
  test.each([
    ["a metric of the host", [{ name: "vsockbox_up", samples: [sample] }], "its name is not"],
    [
      "the label of another target",
      [{ name: NAME, samples: [{ value: 1, labels: { target: "x" } }] }],
      "label",
    ],
    ["300 metrics", Array.from({ length: 300 }, () => ({ name: NAME, samples: [] })), "more than"],
    [
      "9,000 samples",
      Array.from({ length: 3 }, () => ({
        name: NAME,
        samples: Array.from({ length: 3000 }, () => sample),
      })),
      "more than",
    ],
  ])("are safe from a guest that sends %s", async (_, records, reason) => {
    const hostile = `unix:${scratch.file("hostile.sock")}`;
    using _agent = hostileAgent(scratch.file("hostile.sock"), async (channel) => {
      for (const record of records) await channel.sendRecord(record);
      channel.end();
      channel.finish({});
    });
    await using honest = await TestAgent.start();
    const { metrics, stderr } = await metricsOf(hostile, honest.address);
    expect(valueOf(metrics, "vsockbox_up", { target: hostile })).toBe(0);
    expect(valueOf(metrics, "vsockbox_up", { target: honest.address })).toBe(1);
    expect(metrics.get(NAME)?.samples).toHaveLength(1);
    expect(stderr).toContain(reason);
  });

  test("are safe from a guest's texts and from its endless answer", async () => {
    const hostile = `unix:${scratch.file("hostile.sock")}`;
    const text = 'x\n# HELP vsockbox_up \u202e\x1b[2J"} 1\nvsockbox_up 1\n';
    using _agent = hostileAgent(scratch.file("hostile.sock"), async (channel, request) => {
      if (request["op"] !== "metrics") return;
      const labels = { device: text };
      await channel.sendRecord({ name: NAME, help: text, samples: [{ value: 1, labels }, sample] });
      await channel.sendRecord({ name: NAME, help: "Other.", samples: [sample, { value: 5 }] });
      channel.end();
      channel.finish({});
    });
    const { metrics, stdout } = await metricsOf(hostile);
    expect(metrics.get("vsockbox_up")?.samples).toHaveLength(1);
    // The second and third of the sample without labels are left out.
    expect(metrics.get(NAME)?.samples.map(({ value }) => value)).toEqual([1, 1]);
    expect(stdout).not.toContain("\x1b");
    expect(stdout).not.toContain("\u202e");
  });

  test.each([
    [["unix:/a.sock", "unix:/a.sock"], "unix:/a.sock is named twice"],
    [[], "TARGET"],
    [["--daemon", "unix:/a.sock"], "--daemon requires --listen"],
    [["--listen", "9465", "unix:/a.sock"], "--listen"],
  ])("%j is a usage error", async (words, message) => {
    const result = await vsockbox(["metrics", ...words]);
    expect(result).toMatchObject({
      status: 64,
      stdout: "",
      stderr: expect.stringContaining(message),
    });
  });
});

/** GETs a path of an HTTP server on a Unix socket. */
const get = (path: string, url = "/metrics", init: RequestInit = {}) =>
  fetch(`http://localhost${url}`, { ...init, unix: path });

describe("metrics --listen", () => {
  test("asks the agents at each request, and logs what changes once", async () => {
    const agentSocket = scratch.file("agent.sock");
    const target = `unix:${agentSocket}`;
    const socket = scratch.file("metrics.sock");
    const startAgent = async () => {
      const agent = new Running(["agent", "--listen", target]);
      await agent.says("listening on");
      return agent;
    };
    await using server = new Running(["metrics", "--listen", `unix:${socket}`, target]);
    await server.says(`metrics are at /metrics on unix:${socket}`);
    const up = async () => {
      const response = await get(socket);
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
      return valueOf(readExposition(await response.text()), "vsockbox_up", { target });
    };
    expect([await up(), await up()]).toEqual([0, 0]);
    {
      await using _agent = await startAgent();
      expect([await up(), await up()]).toEqual([1, 1]);
    }
    expect(await up()).toBe(0);
    const lines = () => server.stderr.split("\n").filter((line) => line.includes(target));
    await eventually("the line about the second problem", () => lines().length >= 3);
    expect(lines()).toHaveLength(3);
    expect(lines()[1]).toContain("the agent has metrics again");
    expect((await get(socket, "/other")).status).toBe(404);
    expect((await get(socket, "/metrics", { method: "POST" })).status).toBe(405);
    server.process.kill("SIGTERM");
    expect(await server.process.exited).toBe(0);
    expect(existsSync(socket)).toBe(false);
  });

  test("serves TCP, and requests at the same time cost the guest one connection", async () => {
    const path = scratch.file("slow.sock");
    let requests = 0;
    const release = Promise.withResolvers<void>();
    using _agent = hostileAgent(path, async (channel, request) => {
      if (request["op"] !== "metrics") return;
      requests++;
      await release.promise;
      channel.end();
      channel.finish({});
    });
    await using server = new Running(["metrics", "--listen", "127.0.0.1:0", `unix:${path}`]);
    await server.says("metrics are at");
    const [, port] = /127\.0\.0\.1:(\d+)/.exec(server.stderr) ?? [];
    const first = fetch(`http://127.0.0.1:${port}/metrics`);
    await eventually("the first request", () => requests === 1);
    const others = [1, 2, 3].map(() => fetch(`http://127.0.0.1:${port}/metrics`));
    // Answered by the same server, so the others have been read before.
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(404);
    release.resolve();
    const texts = await Promise.all([first, ...others].map(async (one) => (await one).text()));
    for (const text of texts) expect(text).toContain(`vsockbox_up{target="unix:${path}"} 1`);
    expect(requests).toBeLessThan(4);
  });

  test("drops new series of a guest that invents some in each scrape", async () => {
    const path = scratch.file("inventive.sock");
    let count = 0;
    using _agent = hostileAgent(path, async (channel, request) => {
      if (request["op"] !== "metrics") return;
      const samples = Array.from({ length: 4096 }, () => ({
        ...{ value: 1, labels: { device: `invented${count++}` } },
      }));
      for (let begin = 0; begin < samples.length; begin += 512) {
        const part = samples.slice(begin, begin + 512);
        await channel.sendRecord({ name: "vsockbox_guest_x", help: "X.", samples: part });
      }
      channel.end();
      channel.finish({});
    });
    await using honest = await TestAgent.start();
    const [socket, target] = [scratch.file("m.sock"), `unix:${path}`];
    const words = ["metrics", "--listen", `unix:${socket}`, target, honest.address];
    await using server = new Running(words);
    await server.says("metrics are at");
    const scrape = async () => {
      const metrics = readExposition(await (await get(socket)).text());
      expect(valueOf(metrics, "vsockbox_up", { target: honest.address })).toBe(1);
      const samples = metrics.get("vsockbox_guest_x")?.samples.length ?? 0;
      return [samples, valueOf(metrics, "vsockbox_scrape_samples_dropped", { target })];
    };
    expect([await scrape(), await scrape(), await scrape(), await scrape()]).toEqual([
      ...[
        [4096, 0],
        [4096, 0],
      ],
      ...[
        [0, 4096],
        [0, 4096],
      ],
    ]);
    await server.says(`${target}: it has sent more than 8192 time series in a day`);
  });

  test("in the background is a service with a pid file and a log", async () => {
    await using agent = await TestAgent.start();
    const [socket, pid, log] = ["m.sock", "pid", "log"].map((name) => scratch.file(name));
    const files = ["--daemon", "--pid-file", `${pid}`, "--log-file", `${log}`];
    const words = ["metrics", ...files, "--listen", `unix:${socket}`, agent.address];
    expect(await vsockbox(words)).toMatchObject({ status: 0 });
    const number = Number(readFileSync(`${pid}`, "utf8"));
    try {
      const text = await (await get(`${socket}`)).text();
      expect(text).toContain(`vsockbox_up{target="${agent.address}"} 1`);
      expect(readFileSync(`${log}`, "utf8")).toContain("metrics are at");
    } finally {
      process.kill(number, "SIGTERM");
      await eventually("its end", () => !existsSync(`${pid}`) && !existsSync(`${socket}`));
    }
  });
});

describe("agent --metrics", () => {
  test("serves the agent's own metrics in the guest, without labels of a target", async () => {
    const socket = scratch.file("metrics.sock");
    await using agent = await TestAgent.start(["--metrics", `unix:${socket}`]);
    const response = await get(socket);
    expect(response.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
    const local = readExposition(await response.text());
    const { metrics } = await metricsOf(agent.address);
    const ofAgents = [...metrics.keys()].filter((name) => /_(?:agent|guest)_/.test(name));
    expect([...local.keys()]).toEqual(ofAgents);
    for (const { samples } of local.values()) {
      for (const { labels } of samples) expect(labels).not.toHaveProperty("target");
    }
    expect(valueOf(local, "vsockbox_agent_sessions")).toBe(0);
    agent.running.process.kill("SIGTERM");
    expect(await agent.running.process.exited).toBe(0);
    expect(existsSync(socket)).toBe(false);
  });

  test("answers requests one after the other, and what is not HTTP", async () => {
    const socket = scratch.file("metrics.sock");
    await using _agent = await TestAgent.start(["--metrics", `unix:${socket}`]);
    const exchange = async (bytes: string) => {
      const client = connect({ path: socket, allowHalfOpen: true });
      client.write(bytes);
      const chunks: Buffer[] = [];
      for await (const chunk of client) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks).toString();
    };
    const host = "Host: x\r\n";
    const both = await exchange(
      `GET /other HTTP/1.1\r\n${host}\r\nHEAD /metrics HTTP/1.1\r\n${host}Connection: close\r\n\r\n`,
    );
    const [first = "", second = "", ...rest] = both.split(/(?=HTTP\/1\.1 )/);
    expect(rest).toEqual([]);
    expect(first).toStartWith("HTTP/1.1 404 Not Found\r\n");
    expect(first).toEndWith("Connection: keep-alive\r\n\r\nmetrics are at /metrics\n");
    expect(second).toMatch(/^HTTP\/1\.1 200 OK\r\n.*Content-Length: [1-9]\d{2,}\r\n.*\r\n\r\n$/s);
    const posted = await exchange(
      `POST /metrics HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\nGET /`,
    );
    expect(posted).toMatch(/^HTTP\/1\.1 405 .*Allow: GET, HEAD\r\nConnection: close\r\n/s);
    expect(posted.match(/HTTP\/1\.1/g)).toHaveLength(1);
    for (const garbage of ["GET /metrics\r\n\r\n", "x".repeat(9000)]) {
      expect(await exchange(garbage)).toStartWith("HTTP/1.1 400 Bad Request\r\n");
    }
    expect((await get(socket)).status).toBe(200);
  });

  test("ends the agent if its address is in use, and is checked before it starts", async () => {
    const [socket, agentSocket] = [scratch.file("metrics.sock"), scratch.file("agent.sock")];
    await using _agent = await TestAgent.start(["--metrics", `unix:${socket}`]);
    const words = ["agent", "--listen", `unix:${agentSocket}`, "--metrics"];
    const taken: RunResult = await vsockbox([...words, `unix:${socket}`]);
    expect(taken.status).toBe(73);
    expect(taken.stderr).toContain(`unix:${socket}`);
    expect(existsSync(agentSocket)).toBe(false);
    expect(await vsockbox([...words, "9464"])).toMatchObject({ status: 64 });
    const dry = ["install", "--dry-run", "--root", scratch.path, "--agent-arg=--metrics=9464"];
    expect((await vsockbox(dry)).status).toBe(64);
  });
});

describeWith(["promtool"], "promtool", () => {
  test("has nothing to criticize about the metrics of agents, guests and devices", async () => {
    await using agent = await TestAgent.start();
    const device = scratch.file("device.sock");
    const paths = ["--socket", scratch.file("v.socket"), "--uds-path", scratch.file("v.vsock")];
    await using proxy = new Running(["hybrid-proxy", ...paths, "--metrics", `unix:${device}`]);
    await proxy.says("metrics are at");
    const texts = [
      (await metricsOf(agent.address, `unix:${scratch.file("missing")}`)).stdout,
      await (await get(device)).text(),
    ];
    for (const text of texts) {
      const child = Bun.spawn([findTool("promtool") ?? "", "check", "metrics"], {
        stdin: new Blob([text]),
        stdout: "pipe",
        stderr: "pipe",
      });
      const output = await Promise.all(
        [child.stdout, child.stderr].map((pipe) => new Response(pipe).text()),
      );
      expect([output.join(""), await child.exited]).toEqual(["", 0]);
    }
  });
});
