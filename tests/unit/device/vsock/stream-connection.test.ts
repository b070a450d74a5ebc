import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { openSync, writeFileSync } from "node:fs";
import { buffers } from "../../../../src/device/vsock/buffer-pool.ts";
import { StreamConnection } from "../../../../src/device/vsock/stream-connection.ts";
import type { RxBuffers } from "../../../../src/device/vsock/rx-buffers.ts";
import type { TxPacket } from "../../../../src/device/vsock/tx-packet.ts";
import { ERRNO } from "../../../../src/ffi/errno.ts";
import {
  closeDescriptor,
  openPipe,
  type Pipe,
  readDescriptor,
  setNonBlocking,
} from "../../../../src/ffi/socket.ts";
import { Connection } from "../../../../src/protocols/virtio-vsock/connection.ts";
import { PacketHeader, PacketType } from "../../../../src/protocols/virtio-vsock/packet.ts";

import { ScratchDirectory } from "../../../support/scratch-directory.ts";

const BUFFER_BYTES = 1024 * 1024;

/** A packet of the guest, whose writev(2) returns what a test says. */
function packet(bytes: Uint8Array, written: number): TxPacket {
  const fake = {
    vector: () => ({ writev: () => written }),
    copyTo: (target: Uint8Array, skip: number) => {
      if (skip + target.length > bytes.length) throw new RangeError("beyond the packet");
      target.set(bytes.subarray(skip, skip + target.length));
    },
  };
  return fake as unknown as TxPacket;
}

let pipe: Pipe;
let connection: StreamConnection;
beforeEach(() => {
  buffers.trim();
  pipe = openPipe();
  for (const fd of [pipe.read, pipe.write]) setNonBlocking(fd);
  connection = new StreamConnection(new Connection(1, 2, PacketType.Stream, BUFFER_BYTES), true);
  connection.attach(pipe.write);
});
afterEach(() => {
  connection.close();
  closeDescriptor(pipe.read);
});

/** Reads what is in the pipe now. */
function read(): Uint8Array {
  const bytes = new Uint8Array(2 * BUFFER_BYTES);
  return bytes.subarray(0, Math.max(0, readDescriptor(pipe.read, bytes)));
}

const bytesOf = (length: number) => Uint8Array.from({ length }, (_, index) => (index * 7) % 251);

describe("a packet of the guest", () => {
  test.each([
    ["all", 10, 0, 10],
    ["a part", 4, 6, 4],
    ["nothing", 0, 10, 0],
    ["nothing for now", -ERRNO.EAGAIN, 10, 0],
    ["nothing because of a signal", -ERRNO.EINTR, 10, 0],
  ])("of which the socket accepts %s", (_, written, waiting, forwarded) => {
    const bytes = bytesOf(10);
    connection.forward(packet(bytes, written), 10);
    const { vsock, bytesFromGuest } = connection;
    expect([connection.waiting, connection.waitingBytes]).toEqual([waiting, waiting]);
    expect([vsock.fwdCnt, bytesFromGuest, vsock.hostReadShutdown]).toEqual([forwarded, 10, false]);
    connection.flush();
    expect(read()).toEqual(bytes.subarray(10 - waiting));
    expect([connection.waiting, vsock.fwdCnt]).toEqual([0, 10]);
  });

  test("is queued after bytes that wait, without a write", () => {
    connection.forward(packet(bytesOf(3), -ERRNO.EAGAIN), 3);
    connection.forward(packet(bytesOf(2), 2), 2);
    expect([connection.waiting, connection.vsock.fwdCnt]).toEqual([5, 0]);
    connection.flush();
    expect([...read()]).toEqual([...bytesOf(3), ...bytesOf(2)]);
  });

  test.each([
    [ERRNO.EPIPE, true],
    [ERRNO.ECONNRESET, true],
    [ERRNO.ENOTCONN, false],
  ])("is dropped after errno %p", (errno, isShutdown) => {
    connection.forward(packet(bytesOf(3), -ERRNO.EAGAIN), 3);
    connection.flush();
    read();
    connection.forward(packet(bytesOf(5), -errno), 5);
    const { vsock } = connection;
    expect([connection.waiting, vsock.fwdCnt, vsock.hostReadShutdown]).toEqual([0, 8, isShutdown]);
  });
});

test("one byte that waits is written as well", () => {
  connection.forward(packet(bytesOf(1), -ERRNO.EAGAIN), 1);
  connection.flush();
  expect([...read()]).toEqual([0]);
});

test("more than the socket accepts at once is written in its order, and its memory is free then", () => {
  const bytes = bytesOf(BUFFER_BYTES);
  connection.forward(packet(bytes, -ERRNO.EAGAIN), bytes.length);
  expect(buffers.unusedBytes).toBe(0);
  const chunks: Uint8Array[] = [];
  while (connection.waiting > 0) {
    connection.flush();
    expect(connection.vsock.fwdCnt).toBe(bytes.length - connection.waiting);
    chunks.push(read());
    // At rest the pages that were read are unmapped, and the others are kept.
    connection.compact();
  }
  expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
  expect(chunks.length).toBeGreaterThan(1);
  expect(buffers.unusedBytes).toBe(BUFFER_BYTES);
});

test("a closed connection keeps no memory", () => {
  connection.forward(packet(bytesOf(5), -ERRNO.EAGAIN), 5);
  connection.close();
  expect([connection.waiting, buffers.unusedBytes]).toEqual([0, BUFFER_BYTES]);
});

test("a reader that has closed makes all that waits count as read", () => {
  connection.forward(packet(bytesOf(5), -ERRNO.EAGAIN), 5);
  closeDescriptor(pipe.read);
  connection.flush();
  const { vsock } = connection;
  expect([connection.waiting, vsock.fwdCnt, vsock.hostReadShutdown]).toEqual([0, 5, true]);
  connection.forward(packet(bytesOf(7), 7), 7);
  expect([vsock.fwdCnt, connection.waiting]).toEqual([12, 0]);
  pipe = openPipe();
  closeDescriptor(pipe.write);
});

test("no more than 4 MiB of the socket's input are dropped at once", () => {
  using scratch = new ScratchDirectory();
  const path = scratch.file("input");
  const limit = 4 * 1024 * 1024;
  writeFileSync(path, Buffer.concat([Buffer.alloc(limit), Buffer.from("rest")]));
  const fd = openSync(path, "r");
  const reader = new StreamConnection(new Connection(1, 2, PacketType.Stream, 1), true);
  reader.attach(fd);
  reader.dropInput();
  const rest = new Uint8Array(10);
  expect(readDescriptor(fd, rest)).toBe(4);
  reader.close();
});

test("reads fill twice as many chains while they fill all, and half as many if they fill less than half", () => {
  const CHAIN_BYTES = 100;
  const asked: number[] = [];
  const { vsock } = connection;
  const header = new PacketHeader();
  /** Reads `count(bytes)` bytes of the so many that the chains hold; returns the number of packets. */
  const fill = (count: (bytes: number) => number) => {
    let put = 0;
    const rx = () => ({
      bytes: CHAIN_BYTES,
      vector: (_credit: number, chains: number) => {
        asked.push(chains);
        const bytes = chains * CHAIN_BYTES;
        return { bytes, readv: () => count(bytes) };
      },
      put: (_header: PacketHeader, bytes: number) => void (put += bytes),
    });
    const before = connection.bytesToGuest;
    const packets = connection.fill(rx() as unknown as RxBuffers, header, 3);
    expect(put).toBe(connection.bytesToGuest - before);
    return packets;
  };
  vsock.onReadable();
  expect(fill((bytes) => bytes)).toBe(1);
  expect(fill((bytes) => bytes)).toBe(2);
  // Half of four is enough for four; the socket is empty now.
  expect(fill((bytes) => bytes / 2)).toBe(2);
  expect(fill((bytes) => bytes / 2 - 1)).toBe(2);
  expect(fill(() => 1)).toBe(1);
  expect(fill(() => 1)).toBe(1);
  expect(fill(() => -ERRNO.EAGAIN)).toBe(0);
  expect(asked).toEqual([1, 2, 4, 4, 2, 1, 1]);
});
