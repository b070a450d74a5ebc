/** The device's time-outs, and what it delivers when either side, or itself, ends. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { connect, createServer, type Server, type Socket } from "node:net";
import { existsSync, readdirSync } from "node:fs";
import { LARGE_BUFFER_BYTES } from "../../src/device/vsock/large-buffers.ts";
import { Feature } from "../../src/protocols/vhost-user/features.ts";
import { eventually, Running, shell, ScratchDirectory, vsockbox } from "../support/binary.ts";
import { type GuestConnection, LiveGuest } from "../support/live-guest.ts";
import { RawVmm, TestGuest } from "../support/raw-vmm.ts";

const CID = 3;
const PORT = 7000;
/** More than sockets and the device hold together. */
const OUTPUT_BYTES = 4 * 2 ** 20;

let scratch: ScratchDirectory;
let socket: string;
let uds: string;
beforeEach(() => {
  scratch = new ScratchDirectory();
  [socket, uds] = [scratch.file("vmm"), scratch.file("host")];
});
afterEach(() => scratch[Symbol.dispose]());

async function start(...options: string[]): Promise<Running> {
  const device = new Running([
    "hybrid-proxy",
    ...["--socket", socket, "--uds-path", uds],
    ...options,
  ]);
  await device.says(options.includes("--sandbox") ? "confined: " : "waiting");
  await eventually("it has all its sockets", () => existsSync(`${socket}.ctl`));
  return device;
}

/** A program on the host that accepts a connection and does not read it yet. */
class SlowReader implements Disposable {
  received = 0;
  hasEnded = false;
  #client: Socket | undefined;
  readonly #server: Server = createServer({ pauseOnConnect: true }, (client) => {
    this.#client = client;
    client.on("error", () => undefined);
  });

  constructor() {
    this.#server.listen(`${uds}_${PORT}`);
  }

  read(): void {
    this.#client?.on("data", (chunk) => (this.received += chunk.length));
    this.#client?.on("end", () => (this.hasEnded = true));
    this.#client?.resume();
  }

  [Symbol.dispose](): void {
    this.#client?.destroy();
    this.#server.close();
  }
}

/** Sends as much as the device takes while its reader does not read. */
async function sendAll(guest: LiveGuest): Promise<GuestConnection> {
  const connection = guest.connect(PORT);
  connection.output = new Uint8Array(OUTPUT_BYTES);
  await eventually("the connection's buffer in the device is full", async () => {
    const { stdout } = await vsockbox(["hybrid-proxy", "status", socket, "--json"]);
    return stdout.includes(`"waiting_bytes":${LARGE_BUFFER_BYTES},`);
  });
  return connection;
}

describe.each([[[]], [["--sandbox"]]])("with the options %j", (options) => {
  test("SIGTERM ends the device after a slow reader has read everything", async () => {
    using reader = new SlowReader();
    await using device = await start(...options);
    using guest = new LiveGuest(socket, CID);
    const connection = await sendAll(guest);
    device.process.kill("SIGTERM");
    await device.says("the device ends");
    reader.read();
    expect(await device.process.exited).toBe(0);
    await eventually("the reader has all", () => reader.hasEnded);
    expect(reader.received).toBe(connection.sent);
    expect(device.stderr).not.toContain("lost");
  });

  test("SIGTERM does not wait for a reader that never reads: lost bytes are logged", async () => {
    using _reader = new SlowReader();
    await using device = await start(...options);
    using guest = new LiveGuest(socket, CID);
    await sendAll(guest);
    device.process.kill("SIGTERM");
    expect(await device.process.exited).toBe(0);
    await device.stderrDone;
    expect(device.stderr).toMatch(/VM 3: [0-9]{7} bytes of the guest are lost: /);
  });
});

test("a slow reader gets everything after the VMM was killed, and nothing of it stays", async () => {
  using reader = new SlowReader();
  await using device = await start();
  const descriptors = () => readdirSync(`/proc/${device.pid}/fd`).length;
  const before = descriptors();
  using guest = new LiveGuest(socket, CID);
  const { sent } = await sendAll(guest);
  guest[Symbol.dispose]();
  await device.says("the VMM has disconnected");
  reader.read();
  await eventually("the reader has all", () => reader.hasEnded);
  expect(reader.received).toBe(sent);
  await eventually("no descriptor is left", () => descriptors() === before);
});

test("the data of a client that closes right after it is delivered", async () => {
  await using device = await start();
  using guest = new LiveGuest(socket, CID);
  const line = `for i in $(seq 20); do printf 'CONNECT 1234\\nHello\\n' | socat -u - UNIX-CONNECT:${uds}; done`;
  expect(await shell(line)).toEqual({ status: 0, stdout: "", stderr: "" });
  const ended = () => guest.connections.filter(({ hasEnded }) => hasEnded);
  await eventually("all have come", () => ended().length === 20);
  expect(new Set(ended().map(({ received }) => received))).toEqual(new Set([6]));
  expect(device.stderr).not.toContain("lost");
});

/** When the device closes a client that has sent this, in milliseconds. */
function closesAfter(text: string): Promise<number> {
  const begun = performance.now();
  return new Promise((resolve, reject) => {
    const client = connect(uds, () => client.write(text));
    client.on("data", () => reject(new Error("it has been answered")));
    client.on("error", () => undefined);
    client.on("close", () => resolve(performance.now() - begun));
  });
}

test("a CONNECT without an answer and a client without a line end after settable time-outs", async () => {
  await using _device = await start("--connect-timeout", "400ms", "--line-timeout", "900ms");
  const features = Feature.Version1 | Feature.ProtocolFeatures;
  // It has no buffers for packets of the device: its guest hears of nothing.
  const guest = new TestGuest(new RawVmm(socket), { features });
  guest.start();
  const [unanswered, withoutLine] = await Promise.all([
    closesAfter("CONNECT 1\n"),
    closesAfter("CONN"),
  ]);
  expect(unanswered).toBeGreaterThan(390);
  expect(withoutLine).toBeGreaterThan(890);
  guest.close();
});
