import { describe, expect, test } from "bun:test";
import { LARGE_BUFFER_BYTES, LargeBuffers } from "../../../../src/device/vsock/large-buffers.ts";
import { SeqpacketConnection } from "../../../../src/device/vsock/seqpacket-connection.ts";
import { StreamConnection } from "../../../../src/device/vsock/stream-connection.ts";
import { Connection } from "../../../../src/protocols/virtio-vsock/connection.ts";
import { PacketType } from "../../../../src/protocols/virtio-vsock/packet.ts";

const FIRST = 65_536;
/** As the documentation has it. */
const SHARES = 64;

function connectionOf(type: PacketType = PacketType.Stream) {
  const vsock = new Connection(1, 2, type, FIRST);
  return type === PacketType.Stream
    ? new StreamConnection(vsock, true)
    : new SeqpacketConnection(vsock, true);
}

/** A connection that has sent as much as its first buffer holds. */
function busy(type?: PacketType) {
  const connection = connectionOf(type);
  connection.bytesFromGuest = FIRST;
  return connection;
}

describe("a large buffer", () => {
  test("is for a connection that has sent a whole small one", () => {
    const large = new LargeBuffers(LARGE_BUFFER_BYTES);
    const connection = connectionOf();
    connection.bytesFromGuest = FIRST - 1;
    large.offer(connection);
    expect([connection.vsock.bufAlloc, large.count]).toEqual([FIRST, 0]);
    connection.bytesFromGuest = FIRST;
    large.offer(connection);
    large.offer(connection);
    expect([connection.vsock.bufAlloc, large.count]).toEqual([1_048_576, 1]);
  });

  test("is not for records, nor above a size that was asked for", () => {
    const large = new LargeBuffers(LARGE_BUFFER_BYTES);
    const records = busy(PacketType.Seqpacket);
    large.offer(records);
    expect(records.vsock.bufAlloc).toBe(FIRST);
    const fixed = new LargeBuffers(FIRST);
    const stream = busy();
    fixed.offer(stream);
    expect([stream.vsock.bufAlloc, fixed.count, large.count]).toEqual([FIRST, 0, 0]);
  });

  test("is for 64 connections at a time; the end of one makes space for another", () => {
    const large = new LargeBuffers(LARGE_BUFFER_BYTES);
    const connections = Array.from({ length: SHARES + 1 }, () => busy());
    for (const connection of connections) large.offer(connection);
    const [first, last] = [connections[0], connections.at(-1)];
    expect(connections.filter(({ vsock }) => vsock.bufAlloc > FIRST)).toHaveLength(SHARES);
    expect(last?.vsock.bufAlloc).toBe(FIRST);
    first?.close();
    first?.close();
    expect(large.count).toBe(SHARES - 1);
    for (const connection of connections.slice(1)) large.offer(connection);
    expect([last?.vsock.bufAlloc, large.count]).toEqual([1_048_576, SHARES]);
  });
});
