/** The compiled device against host clients that keep to no rule. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { ERRNO } from "../../src/ffi/errno.ts";
import { AF_UNIX, encodeSockaddrUn } from "../../src/ffi/sockaddr.ts";
import {
  closeDescriptor,
  openSocket,
  pollDescriptor,
  POLLIN,
  shutdownWrite,
  SOCK_STREAM,
  startConnect,
  writeDescriptor,
} from "../../src/ffi/socket.ts";
import { Op } from "../../src/protocols/virtio-vsock/packet.ts";
import { eventually } from "../support/binary.ts";
import { awaitEnd, LiveDevice, type LiveGuest, readUntil } from "../support/live-device.ts";
import { connectUnix } from "../support/raw-vmm.ts";

/** What the device may hold afterwards beyond what it held before, in bytes. */
const RSS_MAX_BYTES = 64 * 1024 * 1024;

/** The device's buffer for one connection: the default of --tx-buffer-size. */
const TX_BUFFER_BYTES = 65_536;

let device: LiveDevice;
let rssBefore = 0;
beforeAll(async () => {
  device = await LiveDevice.start();
  rssBefore = device.rssBytes;
});
afterAll(() => device?.[Symbol.asyncDispose]());
afterEach(async () => {
  await device.isAsBefore();
  expect(device.rssBytes - rssBefore).toBeLessThan(RSS_MAX_BYTES);
});

const LINE = "CONNECT 9\n";
const tell = (client: number, text: string) => writeDescriptor(client, Buffer.from(text));

/** Tries until the device's backlog has room. */
async function connectPatiently(): Promise<number> {
  const sockaddr = encodeSockaddrUn(device.udsPath);
  for (;;) {
    const fd = openSocket(AF_UNIX, SOCK_STREAM, device.udsPath);
    const errno = startConnect(fd, sockaddr);
    if (errno === 0) return fd;
    closeDescriptor(fd);
    if (errno !== ERRNO.EAGAIN) throw new Error(`connect: errno ${errno}`);
    await Bun.sleep(1);
  }
}

/** Waits until the device has sent a packet of this kind for a port of the host; others are dropped. */
function nextOf(guest: LiveGuest, op: number, hostPort: number): void {
  for (;;) {
    const { header } = guest.nextFrom(hostPort);
    if (header.op === op) return;
  }
}

test("a line that is cut anywhere, and its client closed or waiting", () => {
  const guest = device.boot();
  const waiting: number[] = [];
  for (let length = 0; length < LINE.length; length++) {
    for (const isGone of [true, false]) {
      const client = connectUnix(device.udsPath);
      if (length > 0) tell(client, LINE.slice(0, length));
      if (isGone) closeDescriptor(client);
      else waiting.push(client);
    }
  }
  device.echo(guest, device.udsPath);
  for (const client of waiting) closeDescriptor(client);
  guest.guest.close();
});

test("a line that comes byte by byte, and data in the same way", () => {
  const guest = device.boot();
  const client = connectUnix(device.udsPath);
  // A socket's buffer takes a few hundred writes, whatever their size.
  const text = "data ".repeat(20);
  for (const byte of LINE + text) tell(client, byte);
  const hostPort = guest.accept();
  readUntil(client, `OK ${hostPort}\n`.length);
  closeDescriptor(client);
  let got = "";
  while (got.length < text.length) got += Buffer.from(guest.next().payload).toString();
  expect(got).toBe(text);
  nextOf(guest, Op.Shutdown, hostPort);
  guest.guest.close();
});

test.each([
  "x",
  "CONNECT\n",
  "CONNECT -1\n",
  "CONNECT 4294967296\n",
  `${"x".repeat(64)}\n`,
  "\0\n",
])("a malformed line is refused: %j", (text) => {
  const guest = device.boot();
  const client = connectUnix(device.udsPath);
  tell(client, text);
  shutdownWrite(client);
  awaitEnd(client);
  closeDescriptor(client);
  guest.guest.close();
});

describe("a client that goes", () => {
  test("between its line and the guest's answer", () => {
    const guest = device.boot();
    for (let count = 0; count < 100; count++) {
      const client = connectUnix(device.udsPath);
      tell(client, `${LINE}data`);
      let { header } = guest.next();
      while (header.op !== Op.Request) ({ header } = guest.next());
      const dstPort = header.srcPort;
      closeDescriptor(client);
      // Its end may come to the device before this answer, or behind it.
      guest.driver.send({ op: Op.Response, srcPort: 9, dstPort });
      for (let op = 0; op !== Op.Rst && op !== Op.Shutdown;)
        ({ op } = guest.nextFrom(dstPort).header);
      guest.driver.send({ op: Op.Rst, srcPort: 9, dstPort });
    }
    device.echo(guest, device.udsPath);
    guest.guest.close();
  });

  test("after OK, in the middle of data, and with data unread", () => {
    const guest = device.boot();
    for (let count = 0; count < 100; count++) {
      const client = connectUnix(device.udsPath);
      tell(client, LINE);
      const dstPort = guest.accept();
      const ports = { srcPort: 9, dstPort };
      readUntil(client, `OK ${dstPort}\n`.length);
      if (count % 3 > 0) tell(client, "x".repeat(30_000));
      if (count % 3 === 2) {
        for (let sent = 0; sent < 10; sent++) {
          guest.driver.send({ op: Op.Rw, ...ports, payload: new Uint8Array(4000) });
        }
      }
      closeDescriptor(client);
      for (let op = 0, fwdCnt = 0; op !== Op.Rst && op !== Op.Shutdown;) {
        const { header, payload } = guest.nextFrom(dstPort);
        ({ op } = header);
        fwdCnt += payload.length;
        guest.driver.send({ op: Op.CreditUpdate, ...ports, fwdCnt });
      }
      guest.driver.send({ op: Op.Rst, ...ports });
    }
    device.echo(guest, device.udsPath);
    guest.guest.close();
  });
});

test("a client that never reads stops its own connection alone", () => {
  const guest = device.boot();
  const client = connectUnix(device.udsPath);
  tell(client, LINE);
  const dstPort = guest.accept();
  const ports = { srcPort: 9, dstPort };
  const payload = new Uint8Array(4096);
  let sent = 0;
  // The guest keeps to its credit until there is none.
  for (let credit = TX_BUFFER_BYTES; credit >= payload.length;) {
    guest.driver.send({ op: Op.Rw, ...ports, payload });
    sent += payload.length;
    guest.driver.send({ op: Op.CreditRequest, ...ports });
    const { header } = guest.nextFrom(dstPort);
    expect(header.op).toBe(Op.CreditUpdate);
    credit = header.bufAlloc - (sent - header.fwdCnt);
  }
  // What a Unix socket takes, and the device's buffer.
  expect(sent).toBeLessThan(2 * 1024 * 1024);
  device.echo(guest, device.udsPath);
  expect(readUntil(client, sent).length).toBeGreaterThanOrEqual(sent);
  // A guest that goes on in spite of it is told.
  for (let op = 0; op !== Op.Rst; op = guest.nextFrom(dstPort).header.op) {
    for (let count = 0; count < 8; count++) guest.driver.send({ op: Op.Rw, ...ports, payload });
    guest.driver.send({ op: Op.CreditRequest, ...ports });
  }
  closeDescriptor(client);
  guest.guest.close();
});

test("ten thousand clients that never send a byte", async () => {
  const guest = device.boot();
  const clients: number[] = [];
  for (let count = 0; count < 10_000; count++) {
    clients.push(await connectPatiently());
    if (count % 1000 === 999) device.servesOther();
  }
  device.echo(guest, device.udsPath);
  expect(device.descriptors).toBeLessThan(1200);
  for (const client of clients) closeDescriptor(client);
  guest.guest.close();
}, 120_000);

test("clients wait while no descriptor is free, and the device logs it", async () => {
  const guest = device.boot();
  const { pid } = device.running;
  const limit = (count: string) =>
    Bun.spawnSync(["prlimit", "--pid", String(pid), `--nofile=${count}:`]);
  const clients: number[] = [];
  limit(String(device.descriptors + 5));
  try {
    for (let count = 0; count < 30; count++) {
      const client = await connectPatiently();
      tell(client, LINE);
      clients.push(client);
    }
    await device.running.says("clients have to wait");
    // Nor does the guest's own request end anything.
    guest.driver.send({ op: Op.Request, srcPort: 1, dstPort: 1 });
    for (let op = 0; op !== Op.Rst;) op = guest.next().header.op;
    expect(guest.guest.vmm.isGone).toBe(false);
  } finally {
    limit("4096");
  }
  // Those that waited are served now.
  const [last = -1] = clients.slice(-1);
  await eventually("the last one is told", () => {
    const { header } = guest.next();
    if (header.op !== Op.Request) return false;
    guest.driver.send({ op: Op.Response, srcPort: 9, dstPort: header.srcPort });
    return pollDescriptor(last, POLLIN, 10) !== 0;
  });
  expect(device.running.stderr.split("clients have to wait").length - 1).toBe(1);
  for (const client of clients) closeDescriptor(client);
  guest.guest.close();
});
