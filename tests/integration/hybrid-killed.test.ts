/** Peers that are killed at any stage leave the device and the bridge as they were: idle, and with nothing open. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import {
  closeDescriptor,
  readDescriptor,
  shutdownRead,
  shutdownWrite,
  writeDescriptor,
} from "../../src/ffi/socket.ts";
import { openUnixListener, type UnixListener } from "../../src/net/listen.ts";
import { eventually, Running, ScratchDirectory } from "../support/binary.ts";
import { LiveGuest } from "../support/live-guest.ts";
import { acceptFrom } from "../support/local-device.ts";
import { atRest } from "../support/process-state.ts";
import { connectUnix } from "../support/raw-vmm.ts";

const CID = 3;
const PORT = 7000;
const CLIENTS = 300;

/** What a process may hold afterwards beyond what it held before, in bytes. */
const RSS_MAX_BYTES = 48 * 1024 * 1024;

let scratch: ScratchDirectory;
let socket: string;
let uds: string;
beforeEach(() => {
  scratch = new ScratchDirectory();
  [socket, uds] = [scratch.file("vmm"), scratch.file("host")];
});
afterEach(() => scratch[Symbol.dispose]());

const descriptors = (pid: number) => readdirSync(`/proc/${pid}/fd`).length;
const rssBytes = (pid: number) =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;

const bulk = new Uint8Array(100_000);
const scrap = new Uint8Array(1000);

/** What a client does before it is killed. */
const STAGES: ((fd: number) => void)[] = [
  () => undefined,
  (fd) => void writeDescriptor(fd, Buffer.from("CONN")),
  (fd) => void writeDescriptor(fd, Buffer.from(`CONNECT ${PORT}\n`)),
  (fd) => void writeDescriptor(fd, Buffer.from(`CONNECT ${PORT}\nhello`)),
  (fd) => {
    writeDescriptor(fd, Buffer.from(`CONNECT ${PORT}\n`));
    writeDescriptor(fd, bulk);
  },
  (fd) => {
    writeDescriptor(fd, Buffer.from(`CONNECT ${PORT}\nhello`));
    shutdownWrite(fd);
  },
  (fd) => {
    writeDescriptor(fd, Buffer.from(`CONNECT ${PORT}\nhello`));
    shutdownRead(fd);
  },
];

/** Clients of every stage, each killed some moments later; `others` lets the other side go on. */
async function killClients(path: string, others: () => void): Promise<void> {
  const open: number[] = [];
  for (let index = 0; index < CLIENTS; index++) {
    const fd = connectUnix(path);
    open.push(fd);
    STAGES[index % STAGES.length]?.(fd);
    if (index % 3 === 0) readDescriptor(fd, scrap);
    if (index % 5 === 0) writeDescriptor(fd, bulk);
    others();
    if (index % 4 === 0) await new Promise((resolve) => setImmediate(resolve));
    while (open.length > index % 16) closeDescriptor(open.shift() ?? -1);
  }
  for (const fd of open) closeDescriptor(fd);
}

describe("peers that are killed at any stage", () => {
  test("leave the device idle, with no connection and no descriptor", async () => {
    await using device = new Running(["hybrid-proxy", "--socket", socket, "--uds-path", uds]);
    await device.says("waiting");
    await eventually("it has all its sockets", () => existsSync(`${socket}.ctl`));
    using guest = new LiveGuest(socket, CID);
    await device.says("the guest's driver is ready");
    const listener = openUnixListener({ kind: "unix", path: `${uds}_${PORT}` });
    const [fdsBefore, rssBefore] = [descriptors(device.pid), rssBytes(device.pid)];
    let turn = 0;
    await killClients(uds, () => {
      // Of the guest's services, each third has something to send; and it has clients of its own.
      for (const connection of guest.connections.slice(-3)) {
        if (turn % 3 === 0) connection.output = bulk;
      }
      if (turn++ % 3 === 0) {
        const connection = guest.connect(PORT);
        connection.output = bulk;
        if (turn % 2 === 0) connection.shutdown = "wanted";
      }
      const service = acceptFrom(listener);
      if (service === undefined) return;
      if (turn % 2 === 0) shutdownWrite(service);
      if (turn % 5 === 0) shutdownRead(service);
      if (turn % 7 === 0) writeDescriptor(service, bulk);
      closeDescriptor(service);
    });
    for (let left = acceptFrom(listener); left !== undefined; left = acceptFrom(listener)) {
      closeDescriptor(left);
    }
    closeDescriptor(listener.fd);
    await eventually("no descriptor is left", () => {
      return descriptors(device.pid) <= fdsBefore;
    });
    await atRest(device.pid);
    expect(rssBytes(device.pid) - rssBefore).toBeLessThan(RSS_MAX_BYTES);
    expect(device.stderr).not.toContain("stopped");
  });

  test("leave the bridge idle, with no descriptor", async () => {
    const prefix = scratch.file("guest");
    await using bridge = new Running(["bridge", "-q", "--uds-path", uds, "--to", `unix:${prefix}`]);
    await eventually("it listens", () => existsSync(uds));
    const listener: UnixListener = openUnixListener({ kind: "unix", path: `${prefix}_${PORT}` });
    await atRest(bridge.pid);
    const [fdsBefore, rssBefore] = [descriptors(bridge.pid), rssBytes(bridge.pid)];
    let turn = 0;
    const serve = () => {
      const service = acceptFrom(listener);
      if (service === undefined) return false;
      turn++;
      if (turn % 2 === 0) writeDescriptor(service, bulk);
      if (turn % 3 === 0) shutdownWrite(service);
      if (turn % 5 === 0) shutdownRead(service);
      closeDescriptor(service);
      return true;
    };
    await killClients(uds, () => void serve());
    await eventually("no descriptor is left", () => {
      while (serve());
      return descriptors(bridge.pid) <= fdsBefore;
    });
    closeDescriptor(listener.fd);
    await atRest(bridge.pid);
    expect(rssBytes(bridge.pid) - rssBefore).toBeLessThan(RSS_MAX_BYTES);
  });
});
