/** The connection's rules, without a guest and without a socket. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  Action,
  Connection,
  Pending,
  State,
} from "../../../../src/protocols/virtio-vsock/connection.ts";
import {
  VIRTIO_VSOCK_HEADER_BYTES,
  NO_CID,
  Op,
  PacketHeader,
  PacketType,
  RecordFlag,
  ShutdownFlag,
} from "../../../../src/protocols/virtio-vsock/packet.ts";

const BUFFER = 64 * 1024;

function packet(op: number, fields: Partial<PacketHeader> = {}): PacketHeader {
  const header = new PacketHeader();
  Object.assign(header, { type: PacketType.Stream, op, bufAlloc: BUFFER }, fields);
  return header;
}

function open(): Connection {
  const connection = new Connection(1 << 30, 1234, PacketType.Stream, BUFFER);
  connection.onPacket(packet(Op.Response));
  connection.pending = 0;
  return connection;
}

/** Everything that a connection has to tell, in order; data as often as `reads` has counts. */
function tellAll(connection: Connection, reads: number[] = []): [number, number][] {
  const header = new PacketHeader();
  const told: [number, number][] = [];
  for (let bit = connection.next(); bit !== 0; bit = connection.next()) {
    if (bit === Pending.Data) {
      const bytes = reads.shift();
      if (bytes === undefined) {
        connection.pending &= ~Pending.Data;
        continue;
      }
      connection.fillHeader(bit, header, 4, Math.min(bytes, connection.credit));
    } else connection.fillHeader(bit, header, 4, 0);
    told.push([header.op, header.len]);
  }
  return told;
}

describe("PacketHeader", () => {
  test("is written as it is read", () => {
    const bytes = new DataView(new ArrayBuffer(VIRTIO_VSOCK_HEADER_BYTES + 8));
    const header = packet(Op.Rw, {
      srcCid: 2,
      dstCid: 0xffff_fffe,
      srcPort: 0xffff_ffff,
      dstPort: 1,
      len: 5,
      flags: 3,
      fwdCnt: 0x8000_0000,
    });
    header.write(bytes, 8);
    const again = new PacketHeader();
    again.read(bytes, 8);
    expect(again).toEqual(header);
    expect(bytes.getUint16(8 + 30, true)).toBe(Op.Rw);
  });

  test("a CID beyond 32 bits belongs to no socket", () => {
    const bytes = new DataView(new ArrayBuffer(VIRTIO_VSOCK_HEADER_BYTES));
    bytes.setUint32(0, 4, true);
    bytes.setUint32(4, 1, true);
    const header = new PacketHeader();
    header.read(bytes, 0);
    expect(header.srcCid).toBe(NO_CID);
  });
});

describe("a connection of the host", () => {
  test("asks, is answered, and carries data", () => {
    const connection = new Connection(1 << 30, 1234, PacketType.Stream, BUFFER);
    connection.post(Pending.Request);
    expect(tellAll(connection)).toEqual([[Op.Request, 0]]);
    expect(connection.onPacket(packet(Op.Response))).toBe(Action.Opened);
    connection.onReadable();
    expect(tellAll(connection, [1000, 2000])).toEqual([
      [Op.Rw, 1000],
      [Op.Rw, 2000],
    ]);
    expect(connection.credit).toBe(BUFFER - 3000);
  });

  test("is refused with an RST", () => {
    const connection = new Connection(1 << 30, 1234, PacketType.Stream, BUFFER);
    expect(connection.onPacket(packet(Op.Rst))).toBe(Action.Close);
    expect([connection.state, connection.pending]).toEqual([State.Dead, 0]);
  });
});

describe("a connection that is not open", () => {
  const asked = () => {
    const connection = new Connection(1 << 30, 1234, PacketType.Stream, BUFFER);
    connection.begin(BUFFER, 0);
    return connection;
  };

  test.each([
    ["a RESPONSE from the guest that asked", Op.Response],
    ["data before the host's side is connected", Op.Rw],
    ["a SHUTDOWN before the host's side is connected", Op.Shutdown],
  ])("refuses %s", (_, op) => {
    const connection = asked();
    expect(connection.onPacket(packet(op, { len: op === Op.Rw ? 1 : 0 }))).toBe(Action.Close);
    expect(tellAll(connection)).toEqual([[Op.Rst, 0]]);
  });

  test("sends no RST to a guest that has sent one", () => {
    const connection = open();
    connection.onPacket(packet(Op.Rst));
    connection.kill();
    expect(tellAll(connection)).toEqual([]);
  });
});

test("states, actions and pending packets are distinct", () => {
  for (const values of [State, Action, Pending]) {
    const numbers: number[] = Object.values(values);
    expect(new Set(numbers).size).toBe(numbers.length);
  }
});

describe("credit", () => {
  test("is never exceeded; without it the guest is asked once", () => {
    const connection = open();
    connection.onReadable();
    const told = tellAll(connection, [BUFFER, 5000, 5000]);
    expect(told).toEqual([
      [Op.Rw, BUFFER],
      [Op.CreditRequest, 0],
    ]);
    connection.onReadable();
    expect(tellAll(connection, [5000])).toEqual([]);
    connection.onPacket(packet(Op.CreditUpdate, { fwdCnt: 3000 }));
    expect(tellAll(connection, [5000])).toEqual([
      [Op.Rw, 3000],
      [Op.CreditRequest, 0],
    ]);
  });

  test("that comes while no data waits for it causes nothing", () => {
    const connection = new Connection(1 << 30, 1234, PacketType.Stream, BUFFER);
    connection.begin(BUFFER, 0);
    connection.accept();
    expect(tellAll(connection)).toEqual([[Op.Response, 0]]);
    connection.onPacket(packet(Op.CreditUpdate));
    expect(connection.pending).toBe(0);
  });

  test("is not asked for again because of a packet that brings none", () => {
    const connection = open();
    connection.onReadable();
    expect(tellAll(connection, [BUFFER]).at(-1)).toEqual([Op.CreditRequest, 0]);
    connection.onPacket(packet(Op.CreditUpdate, { fwdCnt: 0 }));
    expect(tellAll(connection, [1])).toEqual([]);
    connection.onPacket(packet(Op.CreditUpdate, { fwdCnt: 1 }));
    expect(tellAll(connection, [1])).toEqual([
      [Op.Rw, 1],
      [Op.CreditRequest, 0],
    ]);
  });

  test("of one byte is used, alone and before other packets", () => {
    for (const others of [0, Pending.CreditUpdate, Pending.Shutdown]) {
      const connection = open();
      connection.onPacket(packet(Op.CreditUpdate, { bufAlloc: 1 }));
      connection.onReadable();
      connection.post(others);
      expect(connection.next()).toBe(Pending.Data);
    }
  });

  test("wraps around 2^32 both ways", () => {
    const connection = open();
    connection.sent = 0xffff_ff00;
    connection.peerFwdCnt = 0xffff_fe00;
    expect(connection.credit).toBe(BUFFER - 0x100);
    connection.onReadable();
    expect(tellAll(connection, [0x200])).toEqual([[Op.Rw, 0x200]]);
    expect([connection.sent, connection.credit]).toEqual([0x100, BUFFER - 0x300]);
    connection.received = connection.fwdCnt = 0xffff_fff0;
    expect(connection.onPacket(packet(Op.Rw, { len: 0x20 }))).toBe(Action.Write);
    expect(connection.waiting).toBe(0x20);
    connection.onForwarded(0x20);
    expect([connection.fwdCnt, connection.waiting]).toEqual([0x10, 0]);
  });

  test("a guest with a false fwd_cnt gets no credit", () => {
    const connection = open();
    connection.onPacket(packet(Op.CreditUpdate, { fwdCnt: 5000 }));
    expect(connection.credit).toBe(0);
  });

  test("a guest that exceeds its credit gets a RST", () => {
    const connection = open();
    expect(connection.onPacket(packet(Op.Rw, { len: BUFFER }))).toBe(Action.Write);
    expect(connection.onPacket(packet(Op.Rw, { len: 1 }))).toBe(Action.Close);
    expect(tellAll(connection)).toEqual([[Op.Rst, 0]]);
  });

  test("an update goes out also if the bytes that use up what the guest knows of have to wait", () => {
    const connection = open();
    const take = (len: number) => connection.onPacket(packet(Op.Rw, { len }));
    take((BUFFER * 3) / 4);
    connection.onForwarded((BUFFER * 3) / 4);
    expect(tellAll(connection)).toEqual([]);
    take(BUFFER / 4);
    expect(tellAll(connection)).toEqual([[Op.CreditUpdate, 0]]);
    // Now the guest knows all that is free.
    take((BUFFER * 3) / 4);
    expect(tellAll(connection)).toEqual([]);
  });

  test("a buffer that has grown is announced once, and may be used", () => {
    const connection = open();
    connection.onPacket(packet(Op.Rw, { len: BUFFER }));
    connection.growBuffer(16 * BUFFER);
    connection.growBuffer(BUFFER);
    expect(connection.bufAlloc).toBe(16 * BUFFER);
    expect(connection.next()).toBe(Pending.CreditUpdate);
    const header = new PacketHeader();
    connection.fillHeader(Pending.CreditUpdate, header, 4, 0);
    expect([header.bufAlloc, header.fwdCnt, connection.next()]).toEqual([16 * BUFFER, 0, 0]);
    expect(connection.onPacket(packet(Op.Rw, { len: 15 * BUFFER }))).toBe(Action.Write);
    expect(connection.onPacket(packet(Op.Rw, { len: 1 }))).toBe(Action.Close);
  });

  test("a guest that uses no more credit than its own buffer gets a credit update in time", () => {
    const connection = new Connection(1 << 30, 1234, PacketType.Stream, 16 * BUFFER);
    connection.onPacket(packet(Op.Response));
    connection.pending = 0;
    for (let round = 0; round < 3; round++) {
      connection.onPacket(packet(Op.Rw, { len: BUFFER }));
      connection.onForwarded(BUFFER);
      expect(tellAll(connection)).toEqual([[Op.CreditUpdate, 0]]);
    }
  });

  test("a buffer that grows while the guest knows of enough is announced with the next packet", () => {
    const connection = open();
    connection.growBuffer(2 * BUFFER);
    expect(connection.next()).toBe(0);
    const opening = new Connection(1 << 30, 1234, PacketType.Stream, BUFFER);
    opening.growBuffer(16 * BUFFER);
    expect(opening.next()).toBe(0);
  });

  test("an update goes out when the guest believes the buffer nearly full", () => {
    const connection = open();
    for (let sent = 0; sent < BUFFER; sent += 1024) {
      expect(connection.onPacket(packet(Op.Rw, { len: 1024 }))).toBe(Action.Write);
      connection.onForwarded(1024);
      const known = BUFFER - (sent + 1024);
      const told = tellAll(connection);
      expect(told).toEqual(known < BUFFER / 4 ? [[Op.CreditUpdate, 0]] : []);
      if (told.length > 0) return;
    }
    throw new Error("no update came");
  });
});

describe("half-close", () => {
  test("of the host follows its data, and the guest may continue", () => {
    const connection = open();
    connection.onReadable();
    connection.onHostEnd();
    expect(tellAll(connection)).toEqual([[Op.Shutdown, 0]]);
    expect(connection.onPacket(packet(Op.Rw, { len: 10 }))).toBe(Action.Write);
    connection.onForwarded(10);
    expect(connection.onPacket(packet(Op.Shutdown, { flags: ShutdownFlag.Send }))).toBe(
      Action.EndOutput,
    );
    expect(connection.state).toBe(State.Open);
  });

  test("of the guest ends the socket's input, and the host may go on", () => {
    const connection = open();
    const shutdown = packet(Op.Shutdown, { flags: ShutdownFlag.Send });
    expect(connection.onPacket(shutdown)).toBe(Action.EndOutput);
    expect(connection.onPacket(shutdown)).toBe(Action.None);
    connection.onReadable();
    expect(tellAll(connection, [7])).toEqual([[Op.Rw, 7]]);
    expect(connection.onPacket(packet(Op.Rw, { len: 1 }))).toBe(Action.Close);
  });

  test("a full shutdown is answered with an RST once the socket has all bytes", () => {
    const connection = open();
    expect(connection.onPacket(packet(Op.Rw, { len: 100 }))).toBe(Action.Write);
    expect(connection.onPacket(packet(Op.Shutdown, { flags: ShutdownFlag.Both }))).toBe(
      Action.EndBoth,
    );
    expect(connection.state).toBe(State.Open);
    connection.onForwarded(100);
    expect(tellAll(connection)).toEqual([[Op.Rst, 0]]);
  });
});

describe("a guest that reads no more", () => {
  const receive = packet(Op.Shutdown, { flags: ShutdownFlag.Receive });

  test("is sent no bytes, regardless of the socket and its credit", () => {
    const connection = open();
    connection.onReadable();
    expect(connection.onPacket(receive)).toBe(Action.EndInput);
    expect(connection.onPacket(receive)).toBe(Action.None);
    connection.onReadable();
    expect(tellAll(connection, [100])).toEqual([]);
    // Its buffer was full before.
    connection.isOutOfCredit = true;
    connection.onPacket(packet(Op.CreditUpdate));
    expect(tellAll(connection, [100])).toEqual([]);
    expect(connection.onPacket(packet(Op.Rw, { len: 10 }))).toBe(Action.Write);
  });

  test("and sends no more either is answered with an RST", () => {
    const connection = open();
    connection.onPacket(receive);
    const send = packet(Op.Shutdown, { flags: ShutdownFlag.Send });
    expect(connection.onPacket(send)).toBe(Action.EndOutput);
    expect(tellAll(connection)).toEqual([[Op.Rst, 0]]);
  });

  test.each([
    ["has closed", (connection: Connection) => connection.onHostClosed(false)],
    ["reads no more either", (connection: Connection) => connection.onHostReadShutdown()],
  ])("has no connection with a host that %s", (_, end) => {
    for (const isGuestFirst of [true, false]) {
      const connection = open();
      if (isGuestFirst) connection.onPacket(receive);
      end(connection);
      if (!isGuestFirst) connection.onPacket(receive);
      expect([connection.state, connection.pending]).toEqual([State.Dead, Pending.Rst]);
    }
  });
});

describe("a host that reads no more", () => {
  const flagsOf = (connection: Connection) => {
    const header = new PacketHeader();
    expect(connection.next()).toBe(Pending.Shutdown);
    connection.fillHeader(Pending.Shutdown, header, 4, 0);
    return header.flags;
  };

  test("may continue to write; its end is sent once more, with both flags", () => {
    const connection = open();
    connection.onHostReadShutdown();
    connection.onHostReadShutdown();
    expect(flagsOf(connection)).toBe(ShutdownFlag.Receive);
    connection.onHostReadShutdown();
    expect(connection.next()).toBe(0);
    expect(connection.state).toBe(State.Open);
    connection.onReadable();
    expect(tellAll(connection, [5])).toEqual([[Op.Rw, 5]]);
    connection.onHostEnd();
    expect(flagsOf(connection)).toBe(ShutdownFlag.Both);
    expect(connection.isAwaitingRst).toBe(true);
    connection.onHostClosed(false);
    expect(connection.next()).toBe(0);
  });

  test("or has closed changes nothing after the end", () => {
    const connection = open();
    connection.kill();
    expect(tellAll(connection)).toEqual([[Op.Rst, 0]]);
    connection.onHostReadShutdown();
    connection.onHostClosed(true);
    expect([connection.next(), connection.hostReadShutdown]).toEqual([0, false]);
  });

  test("since it has closed has its bytes sent first, and then both flags", () => {
    const connection = open();
    connection.onHostClosed(false);
    expect(tellAll(connection, [70])).toEqual([[Op.Rw, 70]]);
    connection.onHostEnd();
    expect(flagsOf(connection)).toBe(ShutdownFlag.Both);
  });

  test("that has closed after its end gets the second flag", () => {
    const connection = open();
    connection.onHostEnd();
    expect(flagsOf(connection)).toBe(ShutdownFlag.Send);
    connection.onHostClosed(false);
    expect(flagsOf(connection)).toBe(ShutdownFlag.Both);
  });
});

describe("a client that closes before the guest has answered", () => {
  const asked = () => {
    const connection = new Connection(1 << 30, 1234, PacketType.Stream, BUFFER);
    connection.post(Pending.Request);
    return connection;
  };

  test("keeps its connection if it has sent something", () => {
    const connection = asked();
    connection.onHostClosed(true);
    expect(tellAll(connection)).toEqual([[Op.Request, 0]]);
    expect(connection.onPacket(packet(Op.Response))).toBe(Action.Opened);
    expect(tellAll(connection, [6])).toEqual([[Op.Rw, 6]]);
  });

  test("has none if not: a guest that has not heard of it never does", () => {
    const connection = asked();
    connection.onHostClosed(false);
    expect([connection.state, tellAll(connection)]).toEqual([State.Dead, []]);
    const known = asked();
    tellAll(known);
    known.onHostClosed(false);
    expect(tellAll(known)).toEqual([[Op.Rst, 0]]);
  });
});

test.each([
  [PacketType.Seqpacket, RecordFlag.EndOfMessage, Action.Write],
  [PacketType.Seqpacket, RecordFlag.EndOfRecord, Action.None],
  [PacketType.Seqpacket, 0, Action.None],
  [PacketType.Stream, RecordFlag.EndOfMessage, Action.None],
])("a packet of type %d without bytes and with flags %d is action %d", (type, flags, action) => {
  const connection = new Connection(1 << 30, 1234, type, BUFFER);
  connection.onPacket(packet(Op.Response, { type }));
  expect(connection.onPacket(packet(Op.Rw, { type, flags }))).toBe(action);
});

test("any packets at all keep the books right", () => {
  const packets = fc.array(
    fc.record({
      op: fc.nat(9),
      len: fc.nat(BUFFER * 2),
      flags: fc.nat(3),
      type: fc.constantFrom(1, 1, 1, 1, 2, 9),
      bufAlloc: fc.constantFrom(0, 1, BUFFER, 0xffff_ffff),
      fwdCnt: fc.oneof(fc.nat(BUFFER), fc.constantFrom(0xffff_ffff, 0x8000_0000)),
      forward: fc.nat(BUFFER),
    }),
    { maxLength: 60 },
  );
  fc.assert(
    fc.property(packets, fc.boolean(), (sequence, isOpen) => {
      const connection = isOpen ? open() : new Connection(1, 2, PacketType.Stream, BUFFER);
      for (const { forward, ...fields } of sequence) {
        const before = connection.waiting;
        const action = connection.onPacket(packet(fields.op, fields));
        if (action === Action.Write) expect(connection.waiting).toBe(before + fields.len);
        expect(connection.waiting).toBeLessThanOrEqual(BUFFER);
        if (connection.waiting > 0) connection.onForwarded(Math.min(forward, connection.waiting));
        expect(connection.credit).toBeGreaterThanOrEqual(0);
        tellAll(connection, [100]);
        if (connection.state === State.Dead) {
          expect(connection.onPacket(packet(Op.Rw, { len: 1 }))).toBe(Action.None);
          expect(connection.next()).toBe(0);
        }
      }
    }),
    { numRuns: 3000 },
  );
});

describe("while data has to wait for the VM's rate", () => {
  const { CreditRequest, CreditUpdate, Data, Request, Response, Rst, Shutdown } = Pending;

  test.each([
    [Data, 0],
    [Data | Shutdown, 0],
    [Data | CreditUpdate, CreditUpdate],
    [Data | Response | CreditUpdate, Response],
    [Data | Request, Request],
    [Data | CreditRequest, CreditRequest],
    [Shutdown, Shutdown],
    [Rst, Rst],
    [0, 0],
  ] as const)("of the set %d, %d is sent", (pending, bit) => {
    const connection = open();
    connection.pending = pending;
    expect(connection.next(true)).toBe(bit);
    expect(connection.pending).toBe(pending);
  });
});
