/** `vsockbox top` on a terminal and without one: VMs of a device, and connections of an agent. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { FEATURES } from "../../src/protocols/agent/hello.ts";
import {
  eventually,
  processesWith,
  Running,
  ScratchDirectory,
  TestAgent,
  vsockbox,
} from "../support/binary.ts";
import { hostileAgent } from "../support/hostile-agent.ts";
import { expectShape, shapeOf } from "../support/json-shapes.ts";
import { Screen } from "../support/screen.ts";
import { describeWith } from "../support/tools.ts";
import { TestVmm } from "../support/vmm.ts";

let scratch: ScratchDirectory;
let agent: TestAgent;
let device: Running;
let guest: TestVmm;
let command: Running;
let host: Awaited<ReturnType<typeof connectTo>>;
const CID = 7;
const LOOP = "while :; do head -c 5000 /dev/zero; sleep 0.05; done";
const socket = () => scratch.file("v.socket");

/** A client of the host with a connection to the guest's port 5000. */
async function connectTo(path: string) {
  let received = "";
  const stream = await Bun.connect({
    unix: path,
    socket: { data: (_, chunk) => void (received += chunk.toString()) },
  });
  stream.write("CONNECT 5000\n");
  const { srcPort } = await guest.accept(0x1_0000);
  await eventually("OK for the client", () => received === `OK ${srcPort}\n`);
  return { end: () => stream.end(), port: srcPort };
}

beforeAll(async () => {
  scratch = new ScratchDirectory();
  agent = await TestAgent.start();
  const uds = scratch.file("v.vsock");
  const words = ["--guest-cid", `${CID}`, "--socket", socket(), "--uds-path", uds];
  device = new Running(["hybrid-proxy", ...words]);
  await device.says("waiting for its VMM");
  guest = new TestVmm(socket(), CID);
  await device.says("the guest's driver is ready");
  host = await connectTo(uds);
  const detach = ["exec", "--detach", "--name", "ticker", agent.address, "--", "sh", "-c", LOOP];
  expect((await vsockbox(detach)).status).toBe(0);
  command = new Running(["exec", agent.address, "--", "sh", "-c", `: busy; ${LOOP}`]);
  await eventually("the command runs", () => processesWith(": busy").length > 1);
  // Its output is read, so that it has a rate.
  void new Response(command.process.stdout).arrayBuffer();
});
afterAll(async () => {
  host?.end();
  guest?.[Symbol.dispose]();
  for (const running of [command, device, agent]) await running?.[Symbol.asyncDispose]();
  scratch?.[Symbol.dispose]();
});

const objects = (text: string) =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe("top without a terminal", () => {
  test("prints VMs and connections once", async () => {
    const { status, stdout, stderr } = await vsockbox(
      ["top", "--device", socket(), "--interval", "100ms"],
      { env: { COLUMNS: "80" } },
    );
    expect([status, stderr]).toEqual([0, ""]);
    const lines = stdout.split("\n");
    expect(lines[0]).toBe("1 VM, 1 connection");
    expect(lines[3]).toMatch(/^ +7 +ready +\d+:\d+ +1 +0 B\/s +0 B\/s/);
    expect(lines[6]).toMatch(new RegExp(`^ +7 +${host.port} +5000 +host +open +0 B/s +0 B/s`));
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  test("prints an agent's connections and sessions with their rates", async () => {
    const { status, stdout } = await vsockbox(["top", agent.address, "--interval", "500ms"]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^unix:.*: .*, vsockbox \S+, up \d/);
    expect(stdout).toContain("2 connections, 1 detached session\n");
    expect(stdout).toMatch(/unix .* [1-9][0-9.]* [KM]iB\/s .* exec sh -c : busy/);
    expect(stdout).toMatch(/ticker +\d+ +running +\d+:\d+ +[1-9]\S* [KM]iB\/s .* sh -c while/);
  });

  test("prints objects of the documented shape with --json", async () => {
    const words = ["--json", "--interval", "100ms"];
    const ofDevice = await vsockbox(["top", "--device", socket(), ...words]);
    const [vm] = objects(ofDevice.stdout);
    expectShape(vm, shapeOf("top"));
    expect(vm).toMatchObject({
      guest_cid: CID,
      connections: [{ host_port: host.port, guest_port: 5000, to_guest_bytes_per_second: 0 }],
    });
    const [ofAgent] = objects((await vsockbox(["top", agent.address, ...words])).stdout);
    expectShape(ofAgent, shapeOf("top TARGET"));
    expect(ofAgent).toMatchObject({
      connections: expect.arrayContaining([expect.objectContaining({ requests: ["connections"] })]),
      sessions: [expect.objectContaining({ name: "ticker", state: "running" })],
    });
  });

  test("shows what an agent has that does not list its connections", async () => {
    const features = FEATURES.filter((feature) => feature !== "connections");
    const path = scratch.file("old.sock");
    const asked: unknown[] = [];
    using _old = hostileAgent(
      path,
      (channel, { op }) => {
        asked.push(op);
        channel.finish(op === "sessions" ? { sessions: [] } : {});
      },
      { features },
    );
    const words = ["top", `unix:${path}`, "--interval", "100ms"];
    const { stdout } = await vsockbox(words);
    expect(stdout).toContain("this agent does not list its connections");
    expect(new Set(asked)).toEqual(new Set(["info", "sessions"]));
    expect(objects((await vsockbox([...words, "--json"])).stdout)[0]).toMatchObject({
      connections: null,
    });
  });

  test("reports errors of its options", async () => {
    expect(await vsockbox(["top", "--device", scratch.file("none")])).toMatchObject({
      status: 69,
      stderr: expect.stringContaining("no hybrid-proxy of yours has a VM with this path"),
    });
    expect(await vsockbox(["top", "--interval", "50ms"])).toMatchObject({
      status: 64,
      stderr: expect.stringContaining("expected a duration from 100ms to 596h"),
    });
    expect(await vsockbox(["top", "3", "--device", "x"])).toMatchObject({ status: 64 });
  });
});

describeWith(["tmux"], "top on a terminal", () => {
  let terminal: Screen;
  let servers = 0;
  beforeEach(() => {
    const env = { A: agent.address, D: socket(), BEFORE: scratch.file(`before-${servers}`) };
    terminal = new Screen(scratch.file(`tmux-${servers++}.sock`), env);
    terminal.resize(80, 24);
  });
  afterEach(() => terminal[Symbol.dispose]());

  /** Starts it between two readings of the terminal's settings. */
  const start = (words: string) =>
    terminal.type(
      `stty -a > $BEFORE; vsockbox top ${words} --interval 200ms; echo status $?; stty -a | cmp - $BEFORE && echo same`,
      "Enter",
    );
  const lines = () => terminal.text.split("\n");

  async function ended(status: number): Promise<void> {
    await terminal.shows(new RegExp(`status ${status}\\n`));
    await terminal.shows("same");
    expect(terminal.isNormal).toBe(true);
  }

  test("shows VMs at 80 and at 120 columns, sorts by s and quits by q", async () => {
    start("--device $D");
    await terminal.shows(/1 VM, 1 connection +q: quit {2}s: sort \(by rate\)/);
    await terminal.shows(/CID +STATE +UP +CONNS +TO GUEST +FROM GUEST +TOTAL TO +TOTAL FROM$/m);
    await terminal.shows(new RegExp(`^ +7 +${host.port} +5000 +host +open +0 B/s`, "m"));
    expect(terminal.isNormal).toBe(false);
    terminal.print("top at 80 columns");
    terminal.type("s");
    await terminal.shows("sort (by age)");
    terminal.resize(120, 24);
    await terminal.shows(/TOTAL FROM +SOCKET$/m);
    await terminal.shows(/TYPE +STATE +TO GUEST +FROM GUEST +FREE +WAITING +AGE$/m);
    expect(Math.max(...lines().map((line) => line.length))).toBeLessThanOrEqual(120);
    terminal.resize(80, 24);
    await terminal.shows(/FROM GUEST +WAITING +AGE$/m);
    terminal.type("q");
    await ended(0);
    expect(terminal.text).not.toContain("FROM GUEST");
  });

  test("shows an agent's sessions at 80 and at 120 columns", async () => {
    start("$A");
    await terminal.shows("2 connections, 1 detached session");
    await terminal.shows(/[KM]iB\/s .* exec sh -c : busy/);
    await terminal.shows(/^[0-9a-f]{8} +ticker +\d+ +running .*[KM]iB\/s +sh -c while/m);
    terminal.resize(120, 24);
    await terminal.shows(/TOTAL RECEIVED +TOTAL SENT +REQUESTS$/m);
    terminal.type("q");
    await ended(0);
  });

  test("restores the terminal after Ctrl-C", async () => {
    start("$A --sort age");
    await terminal.shows("sort (by age)");
    terminal.type("C-c");
    await ended(130);
  });

  test.each([
    ["SIGTERM", 143],
    ["SIGHUP", 129],
    ["SIGQUIT", 131],
  ] as const)("restores the terminal after %s", async (signal, status) => {
    start("$A --sort id");
    await terminal.shows("sort (by id)");
    const [pid = 0] = processesWith(`top ${agent.address} --sort id`);
    process.kill(pid, signal);
    await ended(status);
  });

  test("restores the terminal and reports the reason if its agent ends", async () => {
    await using other = await TestAgent.start();
    start(other.address);
    await terminal.shows("1 connection, 0 detached sessions");
    other.running.process.kill("SIGKILL");
    await ended(255);
    expect(terminal.text).toContain("vsockbox: cannot ");
  });

  test("prints once with --once, and on a terminal without escape sequences", async () => {
    terminal.type(
      "clear; vsockbox top --device $D --once --interval 100ms; echo status $?",
      "Enter",
    );
    await terminal.shows(/^1 VM, 1 connection\n[^]*FROM GUEST[^]*status 0/m);
    terminal.type("clear; TERM=dumb vsockbox top $A --interval 100ms; echo status $?", "Enter");
    await terminal.shows(/REQUESTS[^]*status 0/);
    expect(terminal.text).not.toContain("q: quit");
  });
});
