import { afterEach, beforeEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { eventually, Running, ScratchDirectory } from "../support/binary.ts";
import { type GuestConnection, LiveGuest } from "../support/live-guest.ts";

const MIB = 2 ** 20;
const PORT = 7000;

let scratch: ScratchDirectory;
beforeEach(() => {
  scratch = new ScratchDirectory();
});
afterEach(() => scratch[Symbol.dispose]());

const paths = (cid: number) => ({
  socket: scratch.file(`${cid}.socket`),
  uds: scratch.file(`${cid}.vsock`),
});

/** A device for VMs with these further keys, by their CIDs. */
async function serve(vms: Record<number, string>): Promise<Running> {
  const words = Object.entries(vms).flatMap(([cid, keys]) => {
    const { socket, uds } = paths(Number(cid));
    return ["--vm", `guest-cid=${cid},socket=${socket},uds-path=${uds}${keys}`];
  });
  const device = new Running(["hybrid-proxy", ...words]);
  for (const cid of Object.keys(vms)) await device.says(`VM ${cid}: waiting`);
  return device;
}

const guestOf = (cid: number) => new LiveGuest(paths(cid).socket, cid);

function randomBytes(count: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(count);
  for (let at = 0; at < count; at += 65_536) {
    crypto.getRandomValues(bytes.subarray(at, Math.min(at + 65_536, count)));
  }
  return bytes;
}

const hashOf = (bytes: Uint8Array) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");

/** A service of the host's that counts and hashes what it is sent. */
class Sink implements Disposable {
  received = 0;
  ended = false;
  readonly hash = new Bun.CryptoHasher("sha256");
  readonly #server = createServer((socket) => {
    socket.on("data", (chunk) => {
      this.received += chunk.length;
      this.hash.update(chunk);
    });
    socket.on("end", () => (this.ended = true));
    socket.on("error", () => {});
  });

  constructor(cid: number) {
    this.#server.listen(`${paths(cid).uds}_${PORT}`);
  }

  [Symbol.dispose](): void {
    this.#server.close();
  }
}

/** A host client; resolves with its socket once the guest has said yes. */
function dial(cid: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(paths(cid).uds, () => socket.write(`CONNECT ${PORT}\n`));
    socket.once("data", () => resolve(socket));
    socket.once("end", () => reject(new Error("refused")));
    socket.on("error", () => {});
  });
}

/** What two of them have at the moment when the second one has everything. */
async function raceOf(first: { received: number }, second: { received: number }, all: number) {
  await eventually("the faster one is done", () => second.received === all);
  return first.received / second.received;
}

// A quarter, with room for the bursts and for a machine that is busy with other things.
const isAQuarter = (ratio: number) => {
  expect(ratio).toBeGreaterThan(0.1);
  expect(ratio).toBeLessThan(0.45);
};

test("what comes from a guest keeps to its rate, and nothing is lost", async () => {
  const limit = (rate: string) => `,rate-from-guest=${rate},burst=64K`;
  await using device = await serve({ 3: limit("1M"), 4: limit("4M"), 5: "" });
  using slow = guestOf(3);
  using fast = guestOf(4);
  using free = guestOf(5);
  using slowSink = new Sink(3);
  using fastSink = new Sink(4);
  using freeSink = new Sink(5);
  const bytes = randomBytes(4 * MIB);
  for (const guest of [slow, fast, free]) {
    const connection = guest.connect(PORT);
    connection.output = bytes;
    connection.shutdown = "wanted";
  }
  await eventually("the one without a limit is done", () => freeSink.ended);
  expect([fastSink.ended, slowSink.ended]).toEqual([false, false]);
  isAQuarter(await raceOf(slowSink, fastSink, bytes.length));
  await eventually("the slow one is done", () => slowSink.ended);
  for (const sink of [slowSink, fastSink, freeSink]) {
    expect([sink.received, sink.hash.digest("hex")]).toEqual([bytes.length, hashOf(bytes)]);
  }
  expect(device.stderr).not.toContain("stopped");
});

test("what goes to a guest keeps to its rate, and control packets do not wait", async () => {
  const limit = (rate: string) => `,rate_to_guest=${rate},burst=64K`;
  await using device = await serve({ 3: limit("512K"), 4: limit("2M"), 5: "" });
  using slow = guestOf(3);
  using fast = guestOf(4);
  using free = guestOf(5);
  const bytes = randomBytes(2 * MIB);
  const connections: GuestConnection[] = [];
  for (const guest of [slow, fast, free]) {
    const socket = await dial(guest.cid);
    socket.end(bytes);
    connections.push(...guest.connections);
  }
  const [slowEnd, fastEnd, freeEnd] = connections;
  if (slowEnd === undefined || fastEnd === undefined || freeEnd === undefined) throw new Error();
  await eventually("the one without a limit is done", () => freeEnd.hasEnded);
  expect([fastEnd.hasEnded, slowEnd.hasEnded]).toEqual([false, false]);
  // While data waits, connections are still made.
  let made = 0;
  for (; made < 20 && !slowEnd.hasEnded; made++) (await dial(slow.cid)).destroy();
  expect(made).toBeGreaterThan(0);
  isAQuarter(await raceOf(slowEnd, fastEnd, bytes.length));
  await eventually("the slow one is done", () => slowEnd.hasEnded);
  for (const connection of connections) {
    expect([connection.received, connection.hash.digest("hex")]).toEqual([
      bytes.length,
      hashOf(bytes),
    ]);
  }
  expect(device.stderr).not.toContain("stopped");
});

test("a VM has no more connections than it may", async () => {
  await using _device = await serve({ 3: ",max-connections=2", 4: "" });
  using guest = guestOf(3);
  using other = guestOf(4);
  const sockets = [await dial(3), await dial(3)];
  await expect(dial(3)).rejects.toThrow("refused");
  const request = guest.connect(PORT);
  await eventually("the guest's request is refused", () => request.wasReset);
  for (let count = 0; count < 3; count++) sockets.push(await dial(other.cid));
  for (const socket of sockets) socket.destroy();
});

test("memory for slow readers returns to the kernel when they have read", async () => {
  await using device = await serve({ 3: "" });
  using guest = guestOf(3);
  const readers: Socket[] = [];
  let received = 0;
  const server = createServer((socket) => {
    socket.on("error", () => {});
    readers.push(socket.pause());
  });
  await new Promise<void>((resolve) => server.listen(`${paths(3).uds}_${PORT}`, resolve));
  const anonymousMib = () => {
    const status = readFileSync(`/proc/${device.pid}/status`, "utf8");
    return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
  };
  try {
    guest.connect(PORT);
    await eventually("the first connection", () => readers.length === 1);
    const before = anonymousMib();
    const count = 63;
    const bytes = randomBytes(1.5 * MIB);
    for (let index = 0; index < count; index++) guest.connect(PORT).output = bytes;
    await eventually("all connections", () => readers.length === count + 1);
    await eventually("the buffers are full", () => anonymousMib() > before + 55);
    for (const reader of readers) reader.on("data", (chunk) => (received += chunk.length));
    for (const reader of readers) reader.resume();
    await eventually("all is read", () => received === count * bytes.length);
    // The connections are still open.
    await eventually("the memory is free", () => anonymousMib() < before + 12);
  } finally {
    for (const reader of readers) reader.destroy();
    server.close();
  }
});
