/** What shows a device from outside: metrics, status, captures. The VMM and the guest are the test. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { Op } from "../../src/protocols/virtio-vsock/packet.ts";
import type { VmStatus } from "../../src/device/observe/status.ts";
import {
  eventually,
  Running,
  type RunResult,
  shell,
  ScratchDirectory,
  vsockbox,
} from "../support/binary.ts";
import { examplesOf } from "../support/readme.ts";
import { describeUnshared } from "../support/namespaces.ts";
import { readPcap } from "../support/pcap.ts";
import { TestVmm } from "../support/vmm.ts";

const CID = 7;
const GUEST_PORT = 5000;

let scratch: ScratchDirectory;
let socket: string;
let uds: string;
let metrics: string;
let device: Running | undefined;
let vmm: TestVmm | undefined;
beforeEach(() => {
  scratch = new ScratchDirectory();
  socket = scratch.file("v.socket");
  uds = scratch.file("v.vsock");
  metrics = scratch.file("metrics.sock");
});
afterEach(async () => {
  vmm?.[Symbol.dispose]();
  await device?.[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
  vmm = device = undefined;
});

/** Starts a device, and a guest's driver on it. */
async function start(...more: string[]): Promise<{ device: Running; vmm: TestVmm }> {
  const words = ["--guest-cid", `${CID}`, "--socket", socket, "--uds-path", uds];
  device = new Running(["hybrid-proxy", ...words, "--metrics", `unix:${metrics}`, ...more]);
  await device.says("metrics are at");
  vmm = new TestVmm(socket, CID);
  await device.says("the guest's driver is ready");
  return { device, vmm };
}

/** A client of the host whose CONNECT line is sent. */
async function client() {
  let received = "";
  const stream = await Bun.connect({
    unix: uds,
    socket: { data: (_, chunk) => void (received += chunk.toString()) },
  });
  stream.write(`CONNECT ${GUEST_PORT}\n`);
  return { stream, received: () => received };
}

const status = async (...words: string[]): Promise<RunResult> =>
  vsockbox(["hybrid-proxy", "status", ...words]);
const capture = async (...words: string[]): Promise<RunResult> =>
  vsockbox(["hybrid-proxy", "capture", ...words]);

async function facts(path = socket): Promise<VmStatus> {
  const { stdout, stderr } = await status(path, "--json");
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout) as VmStatus;
}

async function scrape(): Promise<Map<string, number>> {
  const response = await fetch("http://localhost/metrics", { unix: metrics });
  expect(response.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
  const lines = (await response.text()).trimEnd().split("\n");
  const samples = lines.filter((line) => !line.startsWith("#"));
  return new Map(
    samples.map((line): [string, number] => {
      const blank = line.lastIndexOf(" ");
      return [line.slice(0, blank), Number(line.slice(blank + 1))];
    }),
  );
}

/** A connection of the host with bytes each way; gives its port of the host. */
async function talk(guest: TestVmm, bufAlloc = 0x1_0000) {
  const host = await client();
  const { srcPort } = await guest.accept(bufAlloc);
  await eventually("OK for the client", () => host.received() === `OK ${srcPort}\n`);
  host.stream.write("hello guest");
  const { header, payload } = await guest.receive();
  expect(new TextDecoder().decode(payload)).toBe("hello guest".slice(0, bufAlloc));
  expect(header.op).toBe(Op.Rw);
  const reply = new TextEncoder().encode("hello");
  const ports = { srcPort: GUEST_PORT, dstPort: srcPort };
  await guest.send({ op: Op.Rw, ...ports, payload: reply, bufAlloc });
  await eventually("the guest's bytes", () => host.received().endsWith("hello"));
  return { ...host, srcPort };
}

describe("status", () => {
  test("shows a live connection, by any path of the VM and without one", async () => {
    const { vmm: guest } = await start();
    const { srcPort } = await talk(guest);
    for (const path of [socket, uds, `${socket}.ctl`]) {
      expect(await facts(path)).toMatchObject({
        guest_cid: CID,
        socket,
        uds_path: uds,
        vmm_connected: true,
        driver_ready: true,
        features: expect.arrayContaining(["version_1", "event_index"]),
        limits: { connections: 1023, tx_buffer_bytes: 1_048_576 },
        connections_open: 1,
        connections: [
          {
            host_port: srcPort,
            guest_port: GUEST_PORT,
            begun_by: "host",
            type: "stream",
            state: "open",
            bytes_to_guest: 11,
            bytes_from_guest: 5,
            // The guest has not said that anybody has read the 11 bytes.
            guest_free_bytes: 0x1_0000 - 11,
            waiting_bytes: 0,
          },
        ],
      });
    }
    const all = (await status("--json")).stdout.trimEnd().split("\n");
    const sockets = all.map((line) => (JSON.parse(line) as VmStatus).socket);
    expect(sockets).toContain(socket);
    const { stdout } = await status(uds);
    expect(stdout).toStartWith(`VM ${CID}: VMM connected, driver ready, up `);
    expect(stdout).toMatch(new RegExp(`${srcPort} +5000 +host +stream +open +11 B +5 B`));
  });

  test("shows a connection of the guest, its bytes that wait, and a half-close", async () => {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, () => undefined);
    await new Promise<void>((resolve) => server.listen(`${uds}_99`, resolve));
    const { vmm: guest } = await start();
    await guest.send({ op: Op.Request, srcPort: 1234, dstPort: 99 });
    expect((await guest.receive()).header.op).toBe(Op.Response);
    await guest.send({ op: Op.Rw, srcPort: 1234, dstPort: 99, payload: new Uint8Array(100) });
    await guest.send({ op: Op.Shutdown, srcPort: 1234, dstPort: 99, flags: 2 });
    await eventually("the half-close", async () => {
      const [connection] = (await facts()).connections;
      return connection?.state === "guest-ended" && connection.bytes_from_guest === 100;
    });
    expect((await facts()).connections).toMatchObject([
      { host_port: 99, guest_port: 1234, begun_by: "guest" },
    ]);
    server.close();
  });

  test("goes to standard error at SIGUSR1, and the device goes on", async () => {
    const { device: running, vmm: guest } = await start();
    const { srcPort } = await talk(guest);
    process.kill(running.pid, "SIGUSR1");
    await running.says("HOST PORT");
    await running.says(`${srcPort}`);
    expect(await facts()).toMatchObject({ connections_open: 1 });
  });

  test("--watch continues until a signal, or until its reader closes", async () => {
    await start();
    const watch = `vsockbox hybrid-proxy status ${socket} --json --watch 50ms`;
    const { stdout } = await shell(`${watch} | head -n 3`);
    expect(stdout.trimEnd().split("\n")).toHaveLength(3);
    const log = scratch.file("watch");
    const ended = await shell(
      `${watch} > ${log} & until [ -s ${log} ]; do sleep 0.05; done; kill $!; wait $!`,
    );
    expect(ended.status).toBe(0);
  });

  test("--watch ends at a signal though hybrid-proxy has stopped", async () => {
    const { device: running } = await start();
    const log = scratch.file("stopped");
    const { status: ended } = await shell(
      `vsockbox hybrid-proxy status ${socket} --json --watch 50ms > ${log} &
       until [ -s ${log} ]; do sleep 0.05; done
       kill -STOP ${running.pid}; sleep 0.2; kill $!; wait $!; status=$?
       kill -CONT ${running.pid}; exit $status`,
    );
    expect(ended).toBe(0);
  });

  test("names a device that does not answer, as other commands do", async () => {
    const { device: running } = await start();
    running.process.kill("SIGSTOP");
    const silent = `${socket}.ctl does not answer`;
    try {
      const commands = [
        ["hybrid-proxy", "status", uds],
        ["hybrid-proxy", "capture", uds, "--off"],
        ["monitor", uds],
        ["top", "--once", "--device", uds],
      ];
      const [all, ...named] = await Promise.all([
        vsockbox(["hybrid-proxy", "status"]),
        ...commands.map((words) => vsockbox(words)),
      ]);
      expect(all?.status).toBe(0);
      expect(all?.stderr).toContain(silent);
      expect(all?.stderr).not.toContain("no hybrid-proxy of yours");
      expect(named.map(({ status: exit }) => exit)).toEqual([75, 75, 75, 75]);
      for (const { stderr } of named) expect(stderr).toContain(silent);
      expect((await vsockbox(["hybrid-proxy", "status", socket])).stderr).toContain("no response");
    } finally {
      running.process.kill("SIGCONT");
    }
  });

  test("reports a path that no device serves", async () => {
    const missing = { status: 69, stdout: "", stderr: expect.stringContaining("no hybrid-proxy") };
    expect(await status(scratch.file("none"))).toEqual(missing as never);
    const gone = await status(scratch.file("none.ctl"));
    expect([gone.status, gone.stdout]).toEqual([69, ""]);
    // Another program's socket.
    const server = Bun.serve({ unix: scratch.file("other.ctl"), fetch: () => new Response("hi") });
    const other = await status(scratch.file("other.ctl"));
    expect([other.status, other.stderr]).toEqual([
      65,
      expect.stringContaining("not a control socket"),
    ]);
    await server.stop(true);
  });
});

describe("the control socket", () => {
  test("is for its user alone, is removed with the device, and never replaces another program's", async () => {
    const control = `${socket}.ctl`;
    const { device: running } = await start();
    expect(statSync(control).mode & 0o777).toBe(0o600);
    const second = await vsockbox(["hybrid-proxy", "--socket", socket, "--uds-path", `${uds}2`]);
    expect(second.status).toBe(73);
    expect(existsSync(control)).toBe(true);
    running.process.kill("SIGTERM");
    expect(await running.process.exited).toBe(0);
    for (const path of [control, socket, uds, metrics]) expect(existsSync(path)).toBe(false);
    // A file that is not a socket stays.
    writeFileSync(control, "mine");
    const third = await vsockbox(["hybrid-proxy", "--socket", socket, "--uds-path", uds]);
    expect([third.status, third.stderr]).toEqual([73, expect.stringContaining("is not a socket")]);
    expect(readFileSync(control, "utf8")).toBe("mine");
    expect(existsSync(socket)).toBe(false);
  });

  test("a stale one is replaced", async () => {
    const { device: running } = await start();
    running.process.kill("SIGKILL");
    await running.process.exited;
    vmm?.[Symbol.dispose]();
    expect(existsSync(`${socket}.ctl`)).toBe(true);
    await start();
    expect(await facts()).toMatchObject({ guest_cid: CID });
  });

  test("answers nonsense without harm", async () => {
    await start();
    const unix = `${socket}.ctl`;
    const ask = (path: string, options: RequestInit = {}) =>
      fetch(`http://localhost${path}`, { unix, ...options });
    for (const response of [
      await ask("/"),
      await ask("/status", { method: "POST", body: "x" }),
      await ask("/capture", { method: "PUT", body: "x" }),
      await ask("/capture", { method: "PUT", body: '{"file":"relative"}' }),
    ]) {
      expect([response.status, await response.json()]).toEqual([
        400,
        expect.objectContaining({ code: "BAD_DATA" }),
      ]);
    }
    const large = await ask("/capture", { method: "PUT", body: "x".repeat(1_000_000) });
    expect(large.status).toBe(413);
    expect(await facts()).toMatchObject({ capture: null });
  });
});

describe("metrics", () => {
  test("count what happens", async () => {
    const { device: running, vmm: guest } = await start();
    const name = (metric: string, labels = "") => `vsockbox_${metric}{cid="${CID}"${labels}}`;
    const host = await talk(guest);
    const first = await scrape();
    expect([...first]).toEqual(
      expect.arrayContaining([
        [name("connections"), 1],
        [name("connections_opened_total", ',by="host"'), 1],
        [name("bytes_total", ',direction="to_guest"'), 11],
        [name("bytes_total", ',direction="from_guest"'), 5],
        // REQUEST and RW; RESPONSE and RW.
        [name("packets_total", ',direction="to_guest"'), 2],
        [name("packets_total", ',direction="from_guest"'), 2],
        [name("vmm_connected"), 1],
        [name("driver_ready"), 1],
        [name("vmm_drops_total"), 0],
      ]),
    );
    expect(first.get("vsockbox_process_resident_memory_bytes")).toBeGreaterThan(1e6);
    expect(first.get(name("interrupts_total"))).toBeGreaterThan(0);
    expect(first.get(name("kicks_total"))).toBeGreaterThan(0);

    // A port of the host where nobody listens, a reset of the guest, a client with nonsense.
    await guest.send({ op: Op.Request, srcPort: 1, dstPort: 4 });
    expect((await guest.receive()).header.op).toBe(Op.Rst);
    await guest.send({ op: Op.Rst, srcPort: GUEST_PORT, dstPort: host.srcPort });
    await client();
    const { header } = await guest.receive();
    await guest.send({ op: Op.Rst, srcPort: header.dstPort, dstPort: header.srcPort });
    const nonsense = await Bun.connect({ unix: uds, socket: { data() {} } });
    nonsense.write("nonsense\n");
    await eventually("all of it is counted", async () => {
      const now = await scrape();
      return (
        now.get(name("connections_refused_total", ',by="host"')) === 1 &&
        now.get(name("connections_refused_total", ',by="guest"')) === 1 &&
        now.get(name("resets_total", ',direction="from_guest"')) === 2 &&
        now.get(name("clients_refused_total", ',reason="line"')) === 1 &&
        now.get(name("connections")) === 0
      );
    });

    guest.misbehave();
    await running.says("the VMM was dropped");
    await client();
    await eventually("the VMM and the client are counted", async () => {
      const now = await scrape();
      return (
        now.get(name("vmm_connected")) === 0 &&
        now.get(name("vmm_drops_total")) === 1 &&
        now.get(name("clients_refused_total", ',reason="guest"')) === 1
      );
    });
  });

  test("a guest without credit is reported", async () => {
    const { vmm: guest } = await start();
    const { srcPort } = await talk(guest, 4);
    const asked = await guest.receive();
    expect([asked.header.op, asked.header.srcPort]).toEqual([Op.CreditRequest, srcPort]);
    const samples = await scrape();
    expect(samples.get(`vsockbox_credit_starved_total{cid="${CID}"}`)).toBeGreaterThan(0);
    expect((await facts()).connections).toMatchObject([{ guest_free_bytes: 0, bytes_to_guest: 4 }]);
  });

  test("are on TCP as well, and nothing else is", async () => {
    const words = ["--socket", socket, "--uds-path", uds, "--metrics", "127.0.0.1:0"];
    device = new Running(["hybrid-proxy", ...words]);
    await device.says("metrics are at");
    const port = /on 127\.0\.0\.1:(\d+)/.exec(device.stderr)?.[1];
    const base = `http://127.0.0.1:${port}`;
    expect(await (await fetch(`${base}/metrics`)).text()).toContain("vsockbox_build_info{");
    expect((await fetch(`${base}/status`)).status).toBe(404);
    expect((await fetch(`${base}/metrics`, { method: "POST" })).status).toBe(405);
    const other = ["--socket", `${socket}2`, "--uds-path", `${uds}2`];
    const taken = await vsockbox(["hybrid-proxy", ...other, "--metrics", `127.0.0.1:${port}`]);
    expect([taken.status, taken.stderr]).toEqual([73, expect.stringContaining("EADDRINUSE")]);
  });
});

describe("capture", () => {
  test("has every packet of a connection, from the beginning of the device", async () => {
    const file = scratch.file("v.pcap");
    const { device: running, vmm: guest } = await start("--capture", file, "--capture-bytes", "6");
    const { srcPort } = await talk(guest);
    // It is in the file while everything goes on.
    await eventually("packets in the file", () => readPcap(readFileSync(file)).packets.length >= 4);
    running.process.kill("SIGTERM");
    await running.process.exited;
    const { packets, snapBytes } = readPcap(readFileSync(file));
    expect(snapBytes).toBe(32 + 44 + 6);
    const [host, cid] = [2n, BigInt(CID)];
    const toGuest = { srcCid: host, dstCid: cid, srcPort, dstPort: GUEST_PORT };
    const fromGuest = { srcCid: cid, dstCid: host, srcPort: GUEST_PORT, dstPort: srcPort };
    const bytes = (text: string) => new TextEncoder().encode(text);
    expect(packets.slice(0, 4)).toMatchObject([
      { ...toGuest, op: Op.Request, monitorOp: 1, payload: bytes("") },
      { ...fromGuest, op: Op.Response, monitorOp: 1, payload: bytes("") },
      { ...toGuest, op: Op.Rw, monitorOp: 4, len: 11, payload: bytes("hello ") },
      { ...fromGuest, op: Op.Rw, monitorOp: 4, len: 5, payload: bytes("hello") },
    ]);
  });

  test("is switched on and off while the device runs", async () => {
    const { vmm: guest } = await start();
    const file = scratch.file("v.pcap");
    const first = await talk(guest);
    expect(await capture(uds, file)).toEqual({
      status: 0,
      stdout: `capturing to ${file}\n`,
      stderr: "",
    });
    expect((await facts()).capture).toMatchObject({ file, packets: 0 });
    const twice = await capture(uds, scratch.file("other.pcap"));
    expect([twice.status, twice.stderr]).toEqual([77, expect.stringContaining("is running")]);
    first.stream.write("more");
    await guest.receive();
    const ended = await capture(uds, "--off", "--json");
    const { packets } = readPcap(readFileSync(file));
    expect(packets.map(({ payload }) => new TextDecoder().decode(payload))).toContain("more");
    expect(JSON.parse(ended.stdout)).toMatchObject({ file, packets: packets.length });
    // What comes now is in no file.
    first.stream.write("after");
    await guest.receive();
    expect(readPcap(readFileSync(file)).packets).toHaveLength(packets.length);
    expect(await capture(uds, "--off")).toMatchObject({ stdout: "nothing was captured\n" });

    const kept = readFileSync(file);
    const refused = await capture(uds, file);
    expect([refused.status, refused.stderr]).toEqual([73, expect.stringContaining("file exists")]);
    expect(readFileSync(file)).toEqual(kept);
    expect(await capture(uds, file, "--force", "--capture-bytes", "0")).toMatchObject({
      status: 0,
    });
    expect(readPcap(readFileSync(file))).toMatchObject({ packets: [], snapBytes: 32 + 44 });
  });

  test("does not begin over a file that exists, and then no device does", async () => {
    const file = scratch.file("v.pcap");
    writeFileSync(file, "precious");
    const words = ["--socket", socket, "--uds-path", uds, "--capture", file];
    const { status: exit, stderr } = await vsockbox(["hybrid-proxy", ...words]);
    expect([exit, stderr]).toEqual([73, expect.stringContaining("file exists")]);
    expect(readFileSync(file, "utf8")).toBe("precious");
    for (const path of [socket, uds, `${socket}.ctl`]) expect(existsSync(path)).toBe(false);
    await start("--capture", file, "--force");
    expect(readPcap(readFileSync(file)).packets).toEqual([]);
  });

  test.each([
    [["PATH"], "FILE is missing"],
    [["PATH", "x", "--off"], "--off cannot be used with FILE"],
    [["PATH", "x", "--capture-bytes", "-1"], "capture-bytes"],
    [["PATH", "x", "y"], 'unexpected argument "y"'],
  ])("%j is a usage error", async (words, message) => {
    const result = await capture(...words);
    expect([result.status, result.stderr]).toEqual([64, expect.stringContaining(message)]);
  });
});

describeUnshared(["--user", "--map-root-user", "--mount"], "a full disk", (unshare) => {
  test("ends the capture and not the device", async () => {
    const disk = scratch.file("disk");
    const inside = `mkdir ${disk} && mount -t tmpfs -o size=64k none ${disk} &&
      exec vsockbox hybrid-proxy --guest-cid ${CID} --socket ${socket} --uds-path ${uds} \
        --capture ${disk}/v.pcap --capture-bytes 4000`;
    const child = Bun.spawn([...unshare, "bash", "-c", inside], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: Bun.file(scratch.file("log")),
      env: { ...process.env, PATH: `${import.meta.dir}/../../dist:${process.env["PATH"] ?? ""}` },
    });
    try {
      const log = () => readFileSync(scratch.file("log"), "utf8");
      await eventually("it listens", () => existsSync(uds) && log().includes("waiting for"));
      vmm = new TestVmm(socket, CID);
      const guest = vmm;
      await eventually("the driver is ready", () => log().includes("driver is ready"));
      const { stream, srcPort } = await talk(guest);
      const payload = new Uint8Array(4000);
      for (let count = 0; count < 30; count++) {
        await guest.send({ op: Op.Rw, srcPort: GUEST_PORT, dstPort: srcPort, payload });
      }
      await eventually("the capture has ended", () => log().includes("ENOSPC"));
      expect(log()).toContain(`the capture to ${disk}/v.pcap has ended`);
      expect(await facts()).toMatchObject({ capture: null, connections_open: 1 });
      stream.end();
    } finally {
      child.kill("SIGTERM");
      expect(await child.exited).toBe(0);
    }
  });
});

test("the examples of docs/hybrid-proxy.md work as described", async () => {
  const examples = examplesOf("docs/hybrid-proxy.md").filter(({ info }) => info === "sh observe");
  expect(examples).toHaveLength(3);
  const words = ["--guest-cid", "4", "--socket", socket, "--uds-path", uds];
  device = new Running(["hybrid-proxy", ...words, "--metrics", `unix:${metrics}`]);
  await device.says("metrics are at");
  for (const { text } of examples) {
    const line = text
      .replaceAll("$XDG_RUNTIME_DIR/vm4.vsock", uds)
      .replaceAll("$XDG_RUNTIME_DIR/vm4-metrics.sock", metrics)
      .replaceAll("$XDG_RUNTIME_DIR/vm4.pcap", scratch.file("vm4.pcap"));
    const { status: exit, stdout, stderr } = await shell(`set -e; ${line}`);
    expect({ line, exit, stderr }).toEqual({ line, exit: 0, stderr: "" });
    expect(stdout).toMatch(/VM 4: no VMM|vsockbox_build_info|captured 0 packets/);
  }
  expect(readPcap(readFileSync(scratch.file("vm4.pcap"))).packets).toEqual([]);
});
