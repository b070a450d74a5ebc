import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { landlockVersion } from "../../src/ffi/landlock.ts";
import { BINARY, eventually, Running, ScratchDirectory, vsockbox } from "../support/binary.ts";
import { LiveGuest } from "../support/live-guest.ts";
import { describeWith } from "../support/tools.ts";

const isRoot = process.getuid?.() === 0;
const hasLandlock = landlockVersion() > 0;
const NOBODY = 65_534;
const FIXTURES = join(import.meta.dir, "../fixtures");
const CID = 3;
const PORT = 7000;

let scratch: ScratchDirectory;
let socket: string;
let uds: string;
beforeEach(() => {
  scratch = new ScratchDirectory();
  [socket, uds] = [scratch.file("vmm"), scratch.file("host")];
});
afterEach(() => scratch[Symbol.dispose]());

const deviceArgs = (...more: string[]) => [
  "hybrid-proxy",
  ...["--sandbox", "--socket", socket, "--uds-path", uds],
  ...more,
];

async function start(args: string[], through: string[] = []): Promise<Running> {
  const device = new Running(args, { through });
  await device.says("confined: ");
  return device;
}

/** Values of /proc/PID/task/TID/status of all threads, by name. */
function statusOf(pid: number): Record<string, string[]> {
  const found: Record<string, Set<string>> = {};
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const text = readFileSync(`/proc/${pid}/task/${task}/status`, "utf8");
    for (const [, name = "", value = ""] of text.matchAll(/^(\w+):[ \t]*(.*?)[ \t]*$/gm)) {
      (found[name] ??= new Set()).add(value);
    }
  }
  return Object.fromEntries(Object.entries(found).map(([name, values]) => [name, [...values]]));
}

const NONE = ["0000000000000000"];
const RESTRICTED = {
  NoNewPrivs: ["1"],
  Seccomp: ["2"],
  CapEff: NONE,
  CapPrm: NONE,
  CapInh: NONE,
  CapAmb: NONE,
};

/** The VM as `hybrid-proxy status` has it. */
async function shownStatus(): Promise<unknown> {
  const { stdout, stderr } = await vsockbox(["hybrid-proxy", "status", socket, "--json"]);
  expect(stderr).toBe("");
  return JSON.parse(stdout);
}

/** A host client; resolves with its socket once the guest has said yes. */
function dial(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const client = connect({ path: uds, allowHalfOpen: true }, () =>
      client.write(`CONNECT ${PORT}\n`),
    );
    client.once("data", () => resolve(client));
    client.once("end", () => reject(new Error("refused")));
    client.on("error", () => {});
  });
}

const hashOf = (bytes: Uint8Array) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
const PAYLOAD = crypto.getRandomValues(new Uint8Array(65_536));

/** Everything that a device does: both ways, half-closed, many at once, a VMM that dies. */
async function exercise(): Promise<void> {
  for (const name of ["first", "second"]) {
    using guest = new LiveGuest(socket, CID);
    const clients = await Promise.all(Array.from({ length: 100 }, dial));
    for (const client of clients) client.end(PAYLOAD);
    const { connections } = guest;
    expect([name, connections.length]).toEqual([name, 100]);
    await eventually("the guest has all", () => connections.every(({ hasEnded }) => hasEnded));
    for (const { hash } of connections) expect(hash.digest("hex")).toBe(hashOf(PAYLOAD));
    // The guest answers behind the host's end.
    const counts = clients.map(() => 0);
    for (const [index, client] of clients.entries()) {
      client.on("data", (chunk) => (counts[index] = (counts[index] ?? 0) + chunk.length));
    }
    for (const connection of connections) connection.output = PAYLOAD.slice(0, 5000);
    await eventually("the hosts have all", () => counts.every((count) => count === 5000));
    await exerciseService(guest);
    for (const client of clients) client.destroy();
  }
}

async function exerciseService(guest: LiveGuest): Promise<void> {
  const path = `${uds}_${PORT}`;
  let received = 0;
  const server = createServer((peer) => {
    peer.on("data", (chunk) => (received += chunk.length));
    peer.on("error", () => {});
  }).listen(path);
  await eventually("the service listens", () => existsSync(path));
  chmodSync(path, 0o666);
  const refused = guest.connect(PORT + 1);
  const connection = guest.connect(PORT);
  connection.output = PAYLOAD;
  await eventually("the service has all", () => received === PAYLOAD.length);
  await eventually("nobody is there", () => refused.wasReset);
  server.close();
}

async function endsCleanly(device: Running): Promise<void> {
  device.process.kill("SIGTERM");
  expect(await device.process.exited).toBe(0);
  await device.stderrDone;
  for (const path of [socket, uds, `${socket}.ctl`]) {
    expect([path, existsSync(path)]).toEqual([path, false]);
  }
  expect(device.stderr).not.toContain("stopped");
}

describe("hybrid-proxy --sandbox", () => {
  test("does its work without rights", async () => {
    await using device = await start(deviceArgs());
    expect(statusOf(device.pid)).toMatchObject(RESTRICTED);
    expect(device.stderr).toContain(hasLandlock ? "files by Landlock" : "no Landlock");
    await exercise();
    expect(statusOf(device.pid)).toMatchObject(RESTRICTED);
    await endsCleanly(device);
  });

  test("can be observed: status, metrics, a signal, a capture from the beginning", async () => {
    const [metrics, file] = [scratch.file("metrics"), scratch.file("capture.pcap")];
    const args = deviceArgs("--metrics", `unix:${metrics}`, "--capture", file);
    await using device = await start(args);
    using guest = new LiveGuest(socket, CID);
    (await dial()).end(PAYLOAD);
    await eventually("the guest has all", () => guest.connections[0]?.hasEnded === true);
    expect(await shownStatus()).toMatchObject({
      guest_cid: CID,
      driver_ready: true,
      connections_open: 1,
    });
    const answer = await fetch("http://localhost/metrics", { unix: metrics });
    expect(await answer.text()).toContain("vsockbox_bytes_total");
    device.process.kill("SIGUSR1");
    await device.says("VM 3");
    await eventually("the capture has packets", () => statSync(file).size > PAYLOAD.length / 256);
    // A file that is not open yet stays out of reach.
    const other = scratch.file("other.pcap");
    const late = await vsockbox(["hybrid-proxy", "capture", socket, other]);
    expect([late.status === 0, existsSync(other)]).toEqual([false, false]);
    expect(statusOf(device.pid)).toMatchObject(RESTRICTED);
    await endsCleanly(device);
    expect(existsSync(metrics)).toBe(false);
    expect(device.stderr).toContain("captured");
  });

  test("serves metrics over TCP", async () => {
    await using device = await start(deviceArgs("--metrics", "127.0.0.1:0"));
    const [, port] = /127\.0\.0\.1:(\d+)/.exec(device.stderr) ?? [];
    const answer = await fetch(`http://127.0.0.1:${port}/metrics`);
    expect(await answer.text()).toContain("vsockbox_bytes_total");
    await endsCleanly(device);
  });

  test("keeps its command line, and no trace of how it got there", async () => {
    await using device = await start(deviceArgs());
    const words = readFileSync(`/proc/${device.pid}/cmdline`, "utf8").split("\0").slice(1, -1);
    expect(words).toEqual(deviceArgs());
    const links = readdirSync(`/proc/${device.pid}/fd`).map((fd) =>
      readlinkSync(`/proc/${device.pid}/fd/${fd}`),
    );
    expect(links.filter((link) => link.includes("vsockbox-devices"))).toEqual([]);
    await endsCleanly(device);
  });

  test("cannot open files if the kernel has Landlock, and warns if it has not", async () => {
    const through = [process.execPath, join(FIXTURES, "without-landlock.ts")];
    await using device = await start(deviceArgs(), through);
    expect(device.stderr).toContain("the kernel has no Landlock");
    expect(statusOf(device.pid)).toMatchObject({ NoNewPrivs: ["1"], Seccomp: ["2"], CapEff: NONE });
    await exercise();
    await endsCleanly(device);
  });

  test.skipIf(!isRoot)("changes to the given user in all its threads", async () => {
    chownSync(scratch.path, NOBODY, NOBODY);
    const args = deviceArgs("--user", `${NOBODY}:${NOBODY}`, "--socket-owner", `:${NOBODY}`);
    await using device = await start(args);
    const ids = [`${NOBODY}\t${NOBODY}\t${NOBODY}\t${NOBODY}`];
    expect(statusOf(device.pid)).toMatchObject({ ...RESTRICTED, Uid: ids, Gid: ids, Groups: [""] });
    await exercise();
    await endsCleanly(device);
  });

  test.skipIf(!isRoot)("needs a directory that its user may write to", async () => {
    expect(await vsockbox(deviceArgs("--user", String(NOBODY)))).toMatchObject({
      status: 73,
      stderr: expect.stringContaining(`${socket}.ctl: permission denied`),
    });
  });

  test.skipIf(!isRoot)("names the sockets that it could not remove", async () => {
    // As /tmp: others' files stay.
    chmodSync(scratch.path, 0o1777);
    await using device = await start(deviceArgs("--user", String(NOBODY)));
    device.process.kill("SIGTERM");
    expect(await device.process.exited).toBe(0);
    await device.stderrDone;
    for (const path of [socket, uds])
      expect(device.stderr).toContain(`cannot remove socket ${path}`);
    expect(existsSync(`${socket}.ctl`)).toBe(false);
    // The next one replaces them.
    await using next = await start(deviceArgs());
    await endsCleanly(next);
  });

  test.each([0, 5, 10, 20, 40, 60, 80, 100, 150])(
    "leaves nothing when it ends after %d ms",
    async (after) => {
      await using device = new Running(deviceArgs());
      await Bun.sleep(after);
      device.process.kill("SIGTERM");
      await device.process.exited;
      expect([existsSync(socket), existsSync(uds)]).toEqual([false, false]);
    },
  );

  test.each<[string[], number, string]>([
    [["--user", "no-such-user"], 78, "no such user"],
    [["--user", ":0"], 78, "USER or USER:GROUP"],
    [["--user", "0:no-such-group"], 78, 'unknown group "no-such-group"'],
  ])("refuses %j and opens nothing", async (more, status, message) => {
    expect(await vsockbox(deviceArgs(...more))).toEqual({
      status,
      stdout: "",
      stderr: expect.stringContaining(message),
    });
    expect([existsSync(socket), existsSync(uds)]).toEqual([false, false]);
  });

  test("accepts a user together with the sandbox alone", async () => {
    const args = ["hybrid-proxy", "--socket", socket, "--uds-path", uds, "--user", "0"];
    expect(await vsockbox(args)).toMatchObject({
      status: 64,
      stderr: expect.stringContaining("--user requires --sandbox"),
    });
  });
});

describeWith(["setpriv"], "an ordinary user", () => {
  const through = [
    "setpriv",
    "--reuid",
    String(NOBODY),
    "--regid",
    String(NOBODY),
    "--clear-groups",
  ];

  test.skipIf(!isRoot)("has the same sandbox", async () => {
    chownSync(scratch.path, NOBODY, NOBODY);
    await using device = await start(deviceArgs(), through);
    expect(statusOf(device.pid)).toMatchObject(RESTRICTED);
    await exercise();
    await endsCleanly(device);
  });

  test.skipIf(!isRoot)("needs none of it for a device", async () => {
    chownSync(scratch.path, NOBODY, NOBODY);
    const args = deviceArgs().filter((word) => word !== "--sandbox");
    await using device = new Running(args, { through });
    await device.says("waiting for its VMM");
    expect(statusOf(device.pid)).toMatchObject({ CapEff: NONE, Seccomp: ["0"] });
    await exercise();
    await endsCleanly(device);
  });

  test.skipIf(!isRoot)("cannot change its user again", async () => {
    chownSync(scratch.path, NOBODY, NOBODY);
    const child = Bun.spawn([...through, BINARY, ...deviceArgs("--user", "0")], { stderr: "pipe" });
    expect(await new Response(child.stderr).text()).toContain("only root can become another user");
    expect(await child.exited).toBe(77);
  });
});

test.skipIf(!hasLandlock)("Landlock keeps a process to the files of its rules", () => {
  const inside = scratch.file("inside");
  using elsewhere = new ScratchDirectory();
  const outside = elsewhere.file("outside");
  for (const file of [inside, outside]) writeFileSync(file, "text");
  const script = join(FIXTURES, "landlocked.ts");
  const words = [process.execPath, script, dirname(inside), inside, outside];
  const { stdout } = Bun.spawnSync(words);
  expect(JSON.parse(stdout.toString())).toEqual({
    read: ["done", "EACCES"],
    removed: ["EACCES", "EACCES"],
  });
});
