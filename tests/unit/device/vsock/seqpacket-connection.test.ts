/** Records between a guest and a SOCK_SEQPACKET socket: their boundaries, flags and limits. */
import { afterEach, beforeEach, describe, expect, spyOn, test } from "bun:test";
import { buffers } from "../../../../src/device/vsock/buffer-pool.ts";
import type { RxBuffers } from "../../../../src/device/vsock/rx-buffers.ts";
import { SeqpacketConnection } from "../../../../src/device/vsock/seqpacket-connection.ts";
import type { TxPacket } from "../../../../src/device/vsock/tx-packet.ts";
import { ERRNO } from "../../../../src/ffi/errno.ts";
import { RecordSocket } from "../../../../src/ffi/record.ts";
import { shutdownWrite, writeDescriptor } from "../../../../src/ffi/socket.ts";
import { Connection, Pending, State } from "../../../../src/protocols/virtio-vsock/connection.ts";
import { Op, PacketHeader, PacketType } from "../../../../src/protocols/virtio-vsock/packet.ts";
import { SocketPair } from "../../../support/socket-pair.ts";

const GUEST_CID = 7;
const BUF_ALLOC = 65_536;
/** The guest's buffer, in bytes. */
const PEER_BUF_ALLOC = 1000;
const MAX_RECORD_BYTES = 1024 * 1024;
/** Flags of an RW packet: the message ends, and with it the record. */
const [EOM, EOR] = [1, 2];

let pair: SocketPair;
let connection: SeqpacketConnection;
beforeEach(() => {
  buffers.trim();
  pair = new SocketPair({ seqpacket: true });
  connection = connect();
  connection.attach(pair.release(pair.near));
});
afterEach(() => {
  connection.close();
  pair[Symbol.dispose]();
});

/** A connection that the guest has opened, whose host's end is connecting. */
function connect(bufAlloc = BUF_ALLOC): SeqpacketConnection {
  const vsock = new Connection(1, 2, PacketType.Seqpacket, bufAlloc);
  vsock.begin(PEER_BUF_ALLOC, 0);
  vsock.accept();
  vsock.pending = 0;
  return new SeqpacketConnection(vsock, true);
}

/** Sends a packet of the guest. */
function send(bytes: Uint8Array, flags = EOM, to = connection): void {
  const header = Object.assign(new PacketHeader(), { op: Op.Rw, len: bytes.length, flags });
  header.type = PacketType.Seqpacket;
  header.bufAlloc = PEER_BUF_ALLOC;
  to.vsock.onPacket(header);
  const copyTo = (target: Uint8Array, skip: number) =>
    target.set(bytes.subarray(skip, skip + target.length));
  to.forward({ header, copyTo } as unknown as TxPacket, bytes.length);
}

/** Receives one record of the guest: its bytes, and whether it has MSG_EOR; else the errno. */
function receive(): (number | boolean)[] {
  const socket = new RecordSocket(pair.far);
  const bytes = new Uint8Array(BUF_ALLOC);
  const count = socket.receive(bytes);
  return count < 0 ? [count] : [...bytes.subarray(0, count), socket.endOfRecord];
}

const NOTHING_YET = [-ERRNO.EAGAIN];

describe("a record of the guest", () => {
  test("is sent to the host as one message, once its last packet is there", () => {
    send(Uint8Array.of(1, 2), 0);
    send(Uint8Array.of(3), EOR);
    expect([receive(), connection.waiting, connection.waitingBytes]).toEqual([NOTHING_YET, 0, 3]);
    send(Uint8Array.of(4), EOM);
    expect([receive(), receive()]).toEqual([[1, 2, 3, 4, false], NOTHING_YET]);
    expect(connection).toMatchObject({ bytesFromGuest: 4, waiting: 0, waitingBytes: 0 });
  });

  test("keeps MSG_EOR", () => {
    // A Unix socket does not deliver it.
    const sent = spyOn(RecordSocket.prototype, "send");
    send(Uint8Array.of(1), EOM | EOR);
    send(Uint8Array.of(2), EOM);
    const hasEor = sent.mock.calls.map(([, endOfRecord]) => endOfRecord);
    sent.mockRestore();
    expect(hasEor).toEqual([true, false]);
  });

  test("waits while the socket is full, and is sent after those before it", () => {
    const record = (first: number) => new Uint8Array(8000).fill(first);
    let sent = 0;
    while (connection.waiting < 2) send(record(++sent));
    expect(connection.waitingBytes).toBe(16_000);
    for (let expected = 1; expected <= sent; expected++) {
      expect([expected, receive()[0]]).toEqual([expected, expected]);
      connection.flush();
    }
    expect([connection.waiting, connection.vsock.waiting]).toEqual([0, 0]);
  });

  test("that is incomplete is dropped when the guest ends or its connection drains", () => {
    for (const end of ["endOutput", "drain"] as const) {
      using other = new SocketPair({ seqpacket: true });
      const ended = connect();
      ended.attach(other.release(other.near));
      send(Uint8Array.of(1, 2), 0, ended);
      ended[end]();
      expect(ended.waitingBytes).toBe(0);
      ended.flush();
      const socket = new RecordSocket(other.far);
      expect(socket.receive(new Uint8Array(10))).toBe(0);
      ended.close();
    }
  });

  test("counts as read once its reader has closed, and those after it too", () => {
    pair.close(pair.far);
    send(Uint8Array.of(1), 0);
    send(Uint8Array.of(2, 3));
    const { vsock } = connection;
    expect([vsock.fwdCnt, vsock.hostReadShutdown, connection.waiting]).toEqual([3, true, 0]);
    send(Uint8Array.of(4, 5), 0);
    expect([vsock.fwdCnt, connection.waiting]).toEqual([5, 0]);
  });

  test("of no bytes costs no credit: their number is limited by the guest's buffer", () => {
    const unread = connect(3);
    for (let count = 1; count <= 4; count++) send(new Uint8Array(0), EOM, unread);
    expect([unread.waiting, unread.vsock.state]).toEqual([4, State.Open]);
    send(new Uint8Array(0), EOM, unread);
    expect([unread.waiting, unread.vsock.state]).toEqual([4, State.Dead]);
    unread.close();
  });

  test("that waits is lost with its connection, and its memory is free", () => {
    const unread = connect();
    send(Uint8Array.of(1), EOM, unread);
    unread.close();
    expect([unread.waiting, buffers.unusedBytes]).toEqual([0, BUF_ALLOC]);
  });
});

/** Fills RX buffers with so many bytes for payload: bytes and flags of each packet. */
function fill(capacity = 4096): number[][] {
  const packets: number[][] = [];
  let payload = new Uint8Array(0);
  const rx = () => {
    const fake = {
      bytes: capacity,
      write: (bytes: Uint8Array) => void (payload = Uint8Array.from(bytes)),
      put: ({ flags, len, op }: PacketHeader, bytes: number) => {
        expect([op, len, bytes]).toEqual([Op.Rw, payload.length, payload.length]);
        packets.push([...payload, flags]);
      },
    };
    return fake as unknown as RxBuffers;
  };
  connection.vsock.pending = Pending.Data;
  while (connection.vsock.next() === Pending.Data) {
    const count = connection.fill(rx(), new PacketHeader(), GUEST_CID);
    expect(count === 0 || count === 1).toBe(true);
    if (count === 0) break;
  }
  return packets;
}

describe("a record of the host", () => {
  test("is one packet that ends the message", () => {
    writeDescriptor(pair.far, Uint8Array.of(1, 2, 3));
    writeDescriptor(pair.far, Uint8Array.of(4));
    expect(fill()).toEqual([
      [1, 2, 3, EOM],
      [4, EOM],
    ]);
    expect([connection.bytesToGuest, connection.vsock.pending]).toEqual([4, 0]);
    expect(buffers.unusedBytes).toBe(MAX_RECORD_BYTES);
  });

  test("is split over RX buffers, and its last packet has the flags", () => {
    writeDescriptor(pair.far, Uint8Array.of(1, 2, 3, 4, 5));
    expect(fill(2)).toEqual([
      [1, 2, 0],
      [3, 4, 0],
      [5, EOM],
    ]);
  });

  test("keeps MSG_EOR", () => {
    const { receive: receiveRecord } = RecordSocket.prototype;
    const received = spyOn(RecordSocket.prototype, "receive").mockImplementation(function (
      this: RecordSocket,
      target: Uint8Array,
    ) {
      const count = receiveRecord.call(this, target);
      this.endOfRecord = true;
      return count;
    });
    writeDescriptor(pair.far, Uint8Array.of(1, 2, 3));
    const packets = fill(2);
    received.mockRestore();
    expect(packets).toEqual([
      [1, 2, 0],
      [3, EOM | EOR],
    ]);
  });

  test("waits for the guest's credit in its middle", () => {
    const { vsock } = connection;
    writeDescriptor(pair.far, new Uint8Array(600));
    writeDescriptor(pair.far, new Uint8Array(600));
    expect(fill().map(({ length }) => length - 1)).toEqual([600, 400]);
    expect(vsock.credit).toBe(0);
    vsock.peerFwdCnt = 1000;
    expect(fill()).toEqual([[...new Uint8Array(200), EOM]]);
    expect(connection.bytesToGuest).toBe(1200);
  });

  test("may fill the guest's buffer; a longer one resets the connection", () => {
    const { vsock } = connection;
    writeDescriptor(pair.far, new Uint8Array(PEER_BUF_ALLOC));
    expect(fill()[0]).toHaveLength(PEER_BUF_ALLOC + 1);
    vsock.peerFwdCnt = PEER_BUF_ALLOC;
    writeDescriptor(pair.far, new Uint8Array(PEER_BUF_ALLOC + 1));
    expect([fill(), vsock.state]).toEqual([[], State.Dead]);
    expect(buffers.unusedBytes).toBe(MAX_RECORD_BYTES);
  });

  test("of no bytes is not passed on, and is not the end", () => {
    const { vsock } = connection;
    new RecordSocket(pair.far).send(new Uint8Array(0), false);
    expect([fill(), vsock.hostEnded, vsock.pending]).toEqual([[], false, 0]);
    expect([fill(), vsock.hostEnded, vsock.pending]).toEqual([[], false, 0]);
    writeDescriptor(pair.far, Uint8Array.of(1));
    expect(fill()).toEqual([[1, EOM]]);
  });

  test("is followed by SHUTDOWN once epoll has reported the end", () => {
    shutdownWrite(pair.far);
    connection.hasEndOfInput = true;
    expect([fill(), connection.vsock.hostEnded]).toEqual([[], true]);
    expect(connection.vsock.pending).toBe(Pending.Shutdown);
  });

  test("that is sent in part is lost with its connection, and its memory is free", () => {
    writeDescriptor(pair.far, new Uint8Array(PEER_BUF_ALLOC));
    writeDescriptor(pair.far, new Uint8Array(PEER_BUF_ALLOC));
    connection.vsock.peerFwdCnt = 2 ** 32 - 500;
    connection.vsock.peerBufAlloc = 2000;
    expect(fill().map(({ length }) => length - 1)).toEqual([1000, 500]);
    expect(buffers.unusedBytes).toBe(0);
    connection.close();
    expect(buffers.unusedBytes).toBe(MAX_RECORD_BYTES);
  });
});
