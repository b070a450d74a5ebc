/** What a guest and a host client have sent arrives, in whichever order and way both of them end. */
import { describe, expect, test } from "bun:test";
import { ERRNO } from "../../../src/ffi/errno.ts";
import {
  closeDescriptor,
  readDescriptor,
  shutdownRead,
  shutdownWrite,
  writeDescriptor,
} from "../../../src/ffi/socket.ts";
import { encodeVringState } from "../../../src/protocols/vhost-user/encode.ts";
import {
  Op,
  PacketType,
  RecordFlag,
  ShutdownFlag,
} from "../../../src/protocols/virtio-vsock/packet.ts";
import { eventually } from "../../support/eventually.ts";
import {
  acceptFrom,
  LocalDevice,
  openDescriptors,
  readAll,
  readSlowly,
} from "../../support/local-device.ts";
import { RX, TX } from "../../support/raw-vmm.ts";
import type { VsockDriver } from "../../support/vsock-driver.ts";

const PORT = 5000;

interface Ports {
  srcPort: number;
  dstPort: number;
  type: number;
}

const STREAM: Ports = { srcPort: 1, dstPort: PORT, type: PacketType.Stream };
const RECORDS: Ports = { srcPort: 1, dstPort: PORT, type: PacketType.Seqpacket };
const PAYLOAD = new Uint8Array(4096).fill(7);

/** A service of the host that a guest is connected to. */
function connectGuest(local: LocalDevice, driver: VsockDriver, ports: Ports): number {
  const listener = local.listen(PORT, ports.type === PacketType.Seqpacket);
  driver.post();
  driver.send({ op: Op.Request, ...ports });
  local.turn();
  expect(driver.receive()?.header.op).toBe(Op.Response);
  return acceptFrom(listener) ?? -1;
}

const waitingOf = (local: LocalDevice) =>
  [...local.device.muxer].map(({ vsock }) => vsock.waiting)[0] ?? 0;

/** Sends until the host's socket is full, and something waits in the device; returns what was sent. */
function fill(local: LocalDevice, driver: VsockDriver, ports: Ports, waiting = 50_000): Buffer {
  const sent: Uint8Array[] = [];
  const flags = ports.type === PacketType.Seqpacket ? RecordFlag.EndOfMessage : 0;
  while (waitingOf(local) < waiting) {
    // No two alike, and of sizes that leave parts of them in the socket.
    const payload = Uint8Array.from({ length: 3001 }, (_, index) => index * 7 + sent.length);
    driver.send({ op: Op.Rw, ...ports, payload, flags });
    sent.push(payload);
    local.turn();
  }
  return Buffer.concat(sent);
}

/** The next packets of the device that are no credit updates, as their operations. */
function operations(driver: VsockDriver): number[] {
  const found: number[] = [];
  for (let next = driver.receive(); next !== undefined; next = driver.receive()) {
    if (next.header.op !== Op.CreditUpdate) found.push(next.header.op);
  }
  return found;
}

describe.each([
  ["bytes", STREAM],
  ["records", RECORDS],
])("%s that a slow reader has not read", (_, ports) => {
  const shutdown = { op: Op.Shutdown, flags: ShutdownFlag.Both, ...ports };
  const endings: [string, (driver: VsockDriver, local: LocalDevice) => void][] = [
    [
      "the guest has closed and sent an RST",
      (driver, local) => {
        driver.send(shutdown);
        local.turn();
        driver.send({ op: Op.Rst, ...ports });
      },
    ],
    ["the guest has sent an RST", (driver) => driver.send({ op: Op.Rst, ...ports })],
    ["the guest breaks the protocol", (driver) => driver.send({ op: 99, ...ports })],
    ["the VMM has disconnected", (driver) => driver.guest.vmm.close()],
    [
      "the guest has closed and the VMM has disconnected",
      (driver) => {
        driver.send(shutdown);
        driver.guest.vmm.close();
      },
    ],
    [
      "the guest has rebooted",
      ({ guest }) => {
        for (const ring of [RX, TX] as const) {
          expect(guest.vmm.ask("GET_VRING_BASE", encodeVringState(ring, 0))).toBeDefined();
          guest.rings[ring].setIndex(0);
          guest.tellRing(ring);
        }
      },
    ],
    ["the device ends", (_driver, local) => local.device.close()],
  ];

  test.each(endings)("arrive after %s", (_name, end) => {
    using local = new LocalDevice();
    const before = openDescriptors();
    const driver = local.startGuest();
    const service = connectGuest(local, driver, ports);
    const sent = fill(local, driver, ports);
    end(driver, local);
    local.turn();
    expect(local.device.isDrained).toBe(false);
    expect(local.device.muxer.count).toBe(0);
    // However long it takes.
    local.device.muxer.onTime(performance.now() + 3_600_000);
    // The other direction is over for its writer.
    expect(writeDescriptor(service, PAYLOAD)).toBe(-ERRNO.EPIPE);
    expect(readSlowly(service, local.turn).equals(sent)).toBe(true);
    expect(local.device.isDrained).toBe(true);
    expect(local.device.statistics.bytesLost).toBe(0);
    closeDescriptor(service);
    driver.guest.close();
    local.turn();
    // The service's listener is left.
    expect(openDescriptors()).toBeLessThanOrEqual(before + 1);
  });

  test("do not keep the ports from a new connection", () => {
    using local = new LocalDevice();
    const driver = local.startGuest();
    const service = connectGuest(local, driver, ports);
    const sent = fill(local, driver, ports);
    driver.send({ op: Op.Rst, ...ports });
    driver.send({ op: Op.Request, ...ports });
    local.turn();
    expect(operations(driver)).toEqual([Op.Response]);
    expect(local.device.muxer.count).toBe(1);
    expect(readSlowly(service, local.turn).equals(sent)).toBe(true);
    closeDescriptor(service);
    driver.guest.close();
  });

  test("are counted and logged as lost if the device cannot wait for it", () => {
    using local = new LocalDevice();
    const driver = local.startGuest();
    const service = connectGuest(local, driver, ports);
    fill(local, driver, ports);
    const waiting = waitingOf(local);
    local.device.close();
    local.device.dropDraining();
    expect(local.device.statistics.bytesLost).toBe(waiting);
    expect(local.log.at(-1)).toStartWith(`${waiting} bytes of the guest are lost`);
    expect(local.device.isDrained).toBe(true);
    closeDescriptor(service);
    driver.guest.close();
  });

  test("are dropped with a reader that closes", () => {
    using local = new LocalDevice();
    const driver = local.startGuest();
    const service = connectGuest(local, driver, ports);
    fill(local, driver, ports);
    driver.send({ op: Op.Rst, ...ports });
    local.turn();
    closeDescriptor(service);
    local.turn();
    expect(local.device.isDrained).toBe(true);
    expect(local.device.statistics.bytesLost).toBe(0);
    driver.guest.close();
  });
});

test("of more slow readers than connections the oldest makes way, which is logged once", () => {
  using local = new LocalDevice({ maxConnections: 2 });
  const listener = local.listen(PORT);
  const driver = local.startGuest();
  driver.post();
  const services: number[] = [];
  for (let srcPort = 1; srcPort <= 5; srcPort++) {
    const ports = { ...STREAM, srcPort };
    driver.send({ op: Op.Request, ...ports });
    local.turn();
    services.push(acceptFrom(listener) ?? -1);
    fill(local, driver, ports);
    driver.send({ op: Op.Rst, ...ports });
    local.turn();
    while (driver.receive() !== undefined);
    driver.post();
  }
  expect(local.device.muxer.drainingCount).toBe(2);
  expect(local.device.statistics.bytesLost).toBeGreaterThan(150_000);
  expect(local.log.filter((line) => line.includes("are lost"))).toHaveLength(1);
  for (const service of services) closeDescriptor(service);
  driver.guest.close();
});

test("what waits for the VM's rate arrives after its VMM has disconnected", () => {
  using local = new LocalDevice({ rateFromGuest: 4096 });
  const driver = local.startGuest();
  const service = connectGuest(local, driver, STREAM);
  for (let count = 0; count < 40; count++) {
    driver.send({ op: Op.Rw, ...STREAM, payload: PAYLOAD });
  }
  driver.guest.vmm.close();
  const got = readSlowly(service, local.turn).length;
  expect(got).toBe(40 * PAYLOAD.length);
  closeDescriptor(service);
  driver.guest.close();
});

describe("a guest that shuts down reading", () => {
  test("ends the writing of the host, gets no more bytes, and may go on to write", () => {
    using local = new LocalDevice();
    const driver = local.startGuest();
    const service = connectGuest(local, driver, STREAM);
    // On its way when the guest's packet comes.
    writeDescriptor(service, PAYLOAD);
    driver.send({ op: Op.Shutdown, flags: ShutdownFlag.Receive, ...STREAM });
    local.turn();
    operations(driver);
    expect(writeDescriptor(service, PAYLOAD)).toBe(-ERRNO.EPIPE);
    // Credit is no reason to send it more, either.
    driver.send({ op: Op.CreditUpdate, ...STREAM });
    local.turn();
    expect(operations(driver)).toEqual([]);
    driver.send({ op: Op.Rw, ...STREAM, payload: Buffer.from("still") });
    driver.send({ op: Op.Shutdown, flags: ShutdownFlag.Send, ...STREAM });
    local.turn();
    expect(readAll(service)?.toString()).toBe("still");
    expect(operations(driver)).toEqual([Op.Rst]);
    expect(readDescriptor(service, new Uint8Array(1))).toBe(0);
    closeDescriptor(service);
    driver.guest.close();
  });

  test("is answered with an RST once the host has closed", () => {
    using local = new LocalDevice();
    const driver = local.startGuest();
    const service = connectGuest(local, driver, STREAM);
    driver.send({ op: Op.Shutdown, flags: ShutdownFlag.Receive, ...STREAM });
    local.turn();
    closeDescriptor(service);
    local.turn();
    expect(operations(driver)).toEqual([Op.Rst]);
    expect(local.device.muxer.count).toBe(0);
    driver.guest.close();
  });

  test("by closing lets a host that has written something see the end, not an error", () => {
    using local = new LocalDevice();
    const driver = local.startGuest();
    const service = connectGuest(local, driver, STREAM);
    writeDescriptor(service, PAYLOAD);
    driver.send({ op: Op.Rw, ...STREAM, payload: Buffer.from("bye"), bufAlloc: 0 });
    driver.send({ op: Op.Shutdown, flags: ShutdownFlag.Both, ...STREAM, bufAlloc: 0 });
    local.turn();
    const buffer = new Uint8Array(10);
    expect(readDescriptor(service, buffer)).toBe(3);
    expect(readDescriptor(service, buffer)).toBe(0);
    closeDescriptor(service);
    driver.guest.close();
  });
});

describe("a host that shuts down reading", () => {
  test("goes on to write, and the guest is sent SHUTDOWN(receive)", () => {
    using local = new LocalDevice();
    const driver = local.startGuest();
    const service = connectGuest(local, driver, STREAM);
    shutdownRead(service);
    driver.send({ op: Op.Rw, ...STREAM, payload: PAYLOAD });
    local.turn();
    const answer = driver.receive()?.header;
    expect([answer?.op, answer?.flags]).toEqual([Op.Shutdown, ShutdownFlag.Receive]);
    writeDescriptor(service, Buffer.from("more"));
    local.turn();
    expect(driver.receive()?.payload.toString()).toBe(Buffer.from("more").join(","));
    // Sent before the guest has heard of it: counted as read.
    driver.send({ op: Op.Rw, ...STREAM, payload: PAYLOAD });
    local.turn();
    expect(waitingOf(local)).toBe(0);
    closeDescriptor(service);
    driver.guest.close();
  });

  test("with bytes waiting for it drops these alone", () => {
    for (const ports of [STREAM, RECORDS]) {
      using local = new LocalDevice();
      const driver = local.startGuest();
      const service = connectGuest(local, driver, ports);
      fill(local, driver, ports);
      shutdownRead(service);
      // Its full buffer hides that from the device.
      readAll(service);
      writeDescriptor(service, Buffer.from("more"));
      local.turn();
      driver.post();
      driver.send({ op: Op.Rw, ...ports, payload: PAYLOAD, flags: RecordFlag.EndOfMessage });
      local.turn();
      expect(waitingOf(local)).toBe(0);
      expect(operations(driver).sort()).toEqual([Op.Shutdown, Op.Rw]);
      closeDescriptor(service);
      driver.guest.close();
    }
  });
});

describe("a client that closes right after its data", () => {
  function ask(local: LocalDevice, text: string): void {
    const client = local.connectClient();
    writeDescriptor(client, Buffer.from(text));
    closeDescriptor(client);
    local.turn();
  }

  test("has it delivered to the guest, and then its end", () => {
    using local = new LocalDevice();
    const before = openDescriptors();
    const driver = local.startGuest();
    driver.post();
    ask(local, "CONNECT 1234\nHello\n");
    const request = driver.receive()?.header;
    expect(request?.op).toBe(Op.Request);
    const ports = { srcPort: 1234, dstPort: request?.srcPort ?? 0 };
    driver.send({ op: Op.Response, ...ports });
    // A service that says something first has nobody to say it to.
    driver.send({ op: Op.Rw, ...ports, payload: Buffer.from("220 welcome\n") });
    local.turn();
    const data = driver.receive();
    expect(data?.header.op).toBe(Op.Rw);
    expect(Buffer.from(data?.payload ?? []).toString()).toBe("Hello\n");
    const end = driver.receive()?.header;
    expect([end?.op, end?.flags]).toEqual([Op.Shutdown, ShutdownFlag.Both]);
    driver.send({ op: Op.Rst, ...ports });
    local.turn();
    driver.guest.close();
    local.turn();
    expect(openDescriptors()).toBe(before);
  });

  test("after OK, which it has not read, ends with SHUTDOWN as well", () => {
    using local = new LocalDevice();
    const driver = local.startGuest();
    driver.post();
    const client = local.connectClient();
    writeDescriptor(client, Buffer.from("CONNECT 1234\n"));
    local.turn();
    const ports = { srcPort: 1234, dstPort: driver.receive()?.header.srcPort ?? 0 };
    driver.send({ op: Op.Response, ...ports });
    local.turn();
    writeDescriptor(client, PAYLOAD);
    closeDescriptor(client);
    local.turn();
    expect(operations(driver)).toEqual([Op.Rw, Op.Shutdown]);
    driver.guest.close();
  });

  test("is not waited for by a guest that never answers", () => {
    using local = new LocalDevice();
    const before = openDescriptors();
    const driver = local.startGuest();
    const with1 = openDescriptors();
    ask(local, "CONNECT 1234\nHello\n");
    expect(openDescriptors()).toBe(with1 + 1);
    local.device.muxer.onTime(performance.now() + 3000);
    expect(openDescriptors()).toBe(with1);
    driver.guest.close();
    local.turn();
    expect(openDescriptors()).toBe(before);
  });
});

describe("a CONNECT that the guest does not answer", () => {
  function connect(local: LocalDevice): number {
    const client = local.connectClient();
    writeDescriptor(client, Buffer.from("CONNECT 1234\n"));
    local.turn();
    return client;
  }

  test.each([
    [undefined, 1500, 2500],
    [500, 400, 600],
  ])("with a time-out of %p ends, and the guest is sent an RST", (connectTimeoutMs, soon, late) => {
    using local = new LocalDevice({ connectTimeoutMs });
    const driver = local.startGuest();
    driver.post();
    const client = connect(local);
    const begun = performance.now();
    local.device.muxer.onTime(begun + soon);
    expect(readAll(client)?.length).toBe(0);
    local.device.muxer.onTime(begun + late);
    local.turn();
    expect(readAll(client)).toBeUndefined();
    expect(operations(driver)).toEqual([Op.Request, Op.Rst]);
    expect(local.device.statistics.connectTimeouts).toBe(1);
    expect(local.device.muxer.count).toBe(0);
    closeDescriptor(client);
    driver.guest.close();
  });

  test("is not known to a guest that reads no packets, and does not stay in the list", () => {
    using local = new LocalDevice();
    const driver = local.startGuest();
    const client = connect(local);
    local.device.muxer.onTime(performance.now() + 3000);
    expect([local.device.muxer.count, local.device.muxer.queuedCount]).toEqual([0, 0]);
    driver.post();
    local.turn();
    expect(driver.receive()).toBeUndefined();
    closeDescriptor(client);
    driver.guest.close();
  });

  test("has no time-out any more once it is answered", () => {
    using local = new LocalDevice();
    const driver = local.startGuest();
    driver.post();
    const client = connect(local);
    const ports = { srcPort: 1234, dstPort: driver.receive()?.header.srcPort ?? 0 };
    driver.send({ op: Op.Response, ...ports });
    local.turn();
    local.device.muxer.onTime(performance.now() + 3000);
    local.turn();
    expect(readAll(client)?.toString()).toBe(`OK ${ports.dstPort}\n`);
    shutdownWrite(client);
    driver.send({ op: Op.Rst, ...ports });
    local.turn();
    closeDescriptor(client);
    driver.guest.close();
  });
});

describe("a packet without bytes and with EOM", () => {
  test("ends the record before it; without one it is an empty record", () => {
    using local = new LocalDevice();
    const driver = local.startGuest();
    const service = connectGuest(local, driver, RECORDS);
    const end = { op: Op.Rw, ...RECORDS, flags: RecordFlag.EndOfMessage };
    driver.send({ op: Op.Rw, ...RECORDS, payload: Buffer.from("re") });
    driver.send({ op: Op.Rw, ...RECORDS, payload: Buffer.from("cord") });
    driver.send(end);
    driver.send(end);
    driver.send({ ...end, payload: Buffer.from("next") });
    local.turn();
    const buffer = new Uint8Array(100);
    expect(readDescriptor(service, buffer)).toBe(6);
    expect(Buffer.from(buffer.subarray(0, 6)).toString()).toBe("record");
    expect(readDescriptor(service, buffer)).toBe(0);
    expect(readDescriptor(service, buffer)).toBe(4);
    expect(waitingOf(local)).toBe(0);
    closeDescriptor(service);
    driver.guest.close();
  });

  test("again and again ends the connection before it fills the memory", () => {
    using local = new LocalDevice({ txBufferSize: 1024 });
    const driver = local.startGuest();
    const service = connectGuest(local, driver, RECORDS);
    for (let count = 0; count < 10_000 && local.device.muxer.count > 0; count++) {
      driver.send({ op: Op.Rw, ...RECORDS, flags: RecordFlag.EndOfMessage });
      local.turn();
    }
    expect(local.device.muxer.count).toBe(0);
    closeDescriptor(service);
    driver.guest.close();
  });
});

test("a guest that sends much gets a buffer of 1 MiB, of which no byte is lost", () => {
  using local = new LocalDevice({ txBufferSize: undefined });
  const driver = local.startGuest();
  const service = connectGuest(local, driver, STREAM);
  const sent = fill(local, driver, STREAM, 1_048_576 - 3001);
  const updates: number[] = [];
  for (let next = driver.receive(); next !== undefined; next = driver.receive()) {
    if (next.header.op === Op.CreditUpdate) updates.push(next.header.bufAlloc);
  }
  expect(updates.at(-1)).toBe(1_048_576);
  expect(local.device.muxer.count).toBe(1);
  driver.send({ op: Op.Shutdown, flags: ShutdownFlag.Both, ...STREAM });
  local.turn();
  expect(readSlowly(service, local.turn).equals(sent)).toBe(true);
  closeDescriptor(service);
  driver.guest.close();
});

test("what a sibling has sent comes before the RST of its end, however slow the receiver's rate", async () => {
  using sender = new LocalDevice();
  using receiver = new LocalDevice({ guestCid: 4, rateToGuest: 256 * 1024, burst: 4096 });
  sender.device.siblings.add(receiver.device);
  receiver.device.siblings.add(sender.device);
  const [from, to] = [sender.startGuest(), receiver.startGuest()];
  const turn = () => {
    from.post();
    to.post();
    sender.turn();
    receiver.turn();
  };
  const ports = { srcPort: 1, dstPort: 2 };
  from.send({ op: Op.Request, ...ports, dstCid: 4 });
  turn();
  expect(to.receive()?.header.op).toBe(Op.Request);
  to.send({ op: Op.Response, srcPort: 2, dstPort: 1, dstCid: 3 });
  turn();
  for (let count = 0; count < 20; count++) {
    from.send({ op: Op.Rw, ...ports, dstCid: 4, payload: PAYLOAD });
  }
  turn();
  from.guest.vmm.close();
  let bytes = 0;
  let end: number | undefined;
  await eventually("the receiver has the RST", () => {
    turn();
    for (let next = to.receive(); next !== undefined; next = to.receive()) {
      if (next.header.op === Op.Rw) bytes += next.header.len;
      else end ??= next.header.op;
    }
    return end !== undefined;
  });
  expect([end, bytes]).toEqual([Op.Rst, 20 * PAYLOAD.length]);
  from.guest.close();
  to.guest.close();
});
