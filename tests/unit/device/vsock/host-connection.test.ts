/** What all connections of a guest with a socket have in common: their states and how they end. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { RxBuffers } from "../../../../src/device/vsock/rx-buffers.ts";
import { StreamConnection } from "../../../../src/device/vsock/stream-connection.ts";
import type { TxPacket } from "../../../../src/device/vsock/tx-packet.ts";
import { ERRNO } from "../../../../src/ffi/errno.ts";
import { readDescriptor, writeDescriptor } from "../../../../src/ffi/socket.ts";
import { Connection, Pending, State } from "../../../../src/protocols/virtio-vsock/connection.ts";
import { PacketHeader, PacketType } from "../../../../src/protocols/virtio-vsock/packet.ts";
import { SocketPair } from "../../../support/socket-pair.ts";

const BYTES = Uint8Array.of(1, 2, 3);
/** A read of the host without bytes, at its end. */
const END = 0;
const NOTHING_YET = -ERRNO.EAGAIN;

let pair: SocketPair;
let connection: StreamConnection;
beforeEach(() => {
  pair = new SocketPair();
  const vsock = new Connection(1, 2, PacketType.Stream, 4096);
  vsock.begin(4096, 0);
  vsock.accept();
  vsock.pending = 0;
  connection = new StreamConnection(vsock, true);
});
afterEach(() => {
  connection.close();
  pair[Symbol.dispose]();
});

const attach = () => connection.attach(pair.release(pair.near));

/** Sends bytes of the guest that the socket does not accept for now. */
function queueBytes(): void {
  const packet = {
    vector: () => ({ writev: () => NOTHING_YET }),
    copyTo: (target: Uint8Array) => target.set(BYTES),
  };
  connection.forward(packet as unknown as TxPacket, BYTES.length);
}

const read = () => readDescriptor(pair.far, new Uint8Array(10));

const states = () => [connection.isConnected, connection.isDraining, connection.isClosed];

test("a new connection has moved no bytes, and its host's end is connecting", () => {
  expect(states()).toEqual([false, false, false]);
  expect(connection).toMatchObject({
    ...{ isFromGuest: true, bytesToGuest: 0, bytesFromGuest: 0 },
    ...{ isQueued: false, hasEndOfInput: false, watchesWritable: false, deadline: undefined },
  });
});

test("its host's end is connected, draining and closed, one after the other", () => {
  attach();
  expect(states()).toEqual([true, false, false]);
  queueBytes();
  connection.drain();
  expect(states()).toEqual([false, true, false]);
  expect(writeDescriptor(pair.far, BYTES)).toBe(-ERRNO.EPIPE);
  expect(read()).toBe(NOTHING_YET);
  connection.flush();
  // The end follows the bytes.
  expect([read(), read()]).toEqual([BYTES.length, END]);
  connection.close();
  expect([connection.isConnected, connection.isClosed]).toEqual([false, true]);
});

describe("a close", () => {
  test("closes the socket, and ends the guest's end", () => {
    attach();
    let closed = 0;
    connection.onClosed = () => closed++;
    connection.close();
    expect([read(), connection.vsock.state, closed]).toEqual([END, State.Dead, 1]);
    connection.vsock.pending = 0;
    connection.close();
    expect([closed, connection.vsock.pending]).toEqual([1, 0]);
  });

  test("before the socket is connected closes no descriptor", () => {
    connection.close();
    expect(states()).toEqual([false, false, true]);
    expect(writeDescriptor(pair.near, BYTES)).toBe(BYTES.length);
  });

  test("of a dead connection sends no RST", () => {
    connection.vsock.kill();
    connection.vsock.pending = 0;
    connection.close();
    expect(connection.vsock.pending).toBe(0);
  });
});

describe("the guest's SHUTDOWN(send)", () => {
  test("half-closes the socket at once if nothing is queued", () => {
    attach();
    connection.endOutput();
    expect(read()).toBe(END);
    // The other direction is open.
    expect(writeDescriptor(pair.far, BYTES)).toBe(BYTES.length);
  });

  test("half-closes it after the queued bytes", () => {
    attach();
    queueBytes();
    connection.endOutput();
    expect(read()).toBe(NOTHING_YET);
    connection.flush();
    expect([read(), read()]).toEqual([BYTES.length, END]);
  });

  test("is the only reason to half-close", () => {
    attach();
    queueBytes();
    connection.flush();
    expect([read(), read()]).toEqual([BYTES.length, NOTHING_YET]);
  });
});

test("the guest's SHUTDOWN(receive) ends the writer on the host, and drops what it has sent", () => {
  attach();
  writeDescriptor(pair.far, BYTES);
  connection.endInput();
  expect(writeDescriptor(pair.far, BYTES)).toBe(-ERRNO.EPIPE);
  // Its end is an ordinary one, since no byte is unread.
  connection.close();
  expect(read()).toBe(END);
});

describe("a read of the socket without bytes", () => {
  /** Reads with this result; returns the guest's end after it. */
  function readWith(count: number) {
    const { vsock } = connection;
    attach();
    vsock.onReadable();
    const rx = () =>
      ({ vector: () => ({ bytes: 10, readv: () => count }) }) as unknown as RxBuffers;
    expect(connection.fill(rx(), new PacketHeader(), 7)).toBe(0);
    const { state, pending, hostEnded, hostReadShutdown } = vsock;
    return { state, pending, hostEnded, hostReadShutdown };
  }

  const open = { state: State.Open, hostEnded: false, hostReadShutdown: false };

  test("at its end sends SHUTDOWN(send)", () => {
    expect(readWith(END)).toEqual({ ...open, pending: Pending.Shutdown, hostEnded: true });
  });

  test("for now waits for the next event", () => {
    expect(readWith(NOTHING_YET)).toEqual({ ...open, pending: 0 });
  });

  test("because of a signal is tried again", () => {
    expect(readWith(-ERRNO.EINTR)).toEqual({ ...open, pending: Pending.Data });
  });

  test("whose peer has closed with unread bytes sends SHUTDOWN(both)", () => {
    const ended = { hostEnded: true, hostReadShutdown: true };
    expect(readWith(-ERRNO.ECONNRESET)).toEqual({ ...open, ...ended, pending: Pending.Shutdown });
  });

  test("because of any other error resets the connection", () => {
    const dead = { state: State.Dead, pending: Pending.Rst };
    expect(readWith(-ERRNO.ENOTCONN)).toEqual({ ...open, ...dead });
  });
});
