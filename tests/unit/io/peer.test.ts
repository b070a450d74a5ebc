import { afterAll, expect, test } from "bun:test";
import type { Socket } from "bun";
import { decodePeer, formatPeer, formatPeerHost, peerOf } from "../../../src/io/peer.ts";

const sockets: { stop?: () => void; end?: () => void }[] = [];
afterAll(() => {
  for (const socket of sockets) (socket.stop ?? socket.end)?.call(socket);
});

/** Connects to a listener of this process; returns the descriptor and the port. */
async function connected(hostname: string): Promise<{ fd: number; port: number }> {
  const server = Bun.listen({ hostname, port: 0, socket: { data: () => undefined } });
  const socket: Socket = await Bun.connect({
    hostname,
    port: server.port,
    socket: { data: () => undefined },
  });
  sockets.push({ stop: () => server.stop(true) }, { end: () => void socket.end() });
  return { fd: Number(Reflect.get(socket, "fd")), port: server.port };
}

test.each([
  ["127.0.0.1", "127.0.0.1"],
  ["::1", "[::1]"],
])("names the peer of a TCP connection to %s", async (hostname, shown) => {
  const { fd, port } = await connected(hostname);
  const peer = peerOf(fd);
  expect(peer).toEqual({ kind: "tcp", host: hostname, port });
  expect([formatPeer(peer), formatPeerHost(peer)]).toEqual([`${shown}:${port}`, hostname]);
});

const inet6 = (hex: string) => Buffer.from(`0a0001bb00000000${hex}00000000`, "hex");

test.each([
  [inet6("00000000000000000000ffff7f000001"), "127.0.0.1:443"],
  [inet6("20010db8000000000000000000000001"), "[2001:db8::1]:443"],
  [inet6("00000000000000000000000000000000"), "[::]:443"],
  [Buffer.from("020001bb7f0000010000000000000000", "hex"), "127.0.0.1:443"],
  [Buffer.from("020001bb7f000001", "hex"), "unknown"],
  [inet6("20010db8000000000000000000000001").subarray(0, 27), "unknown"],
  [Buffer.from("1000", "hex"), "unknown"],
  [Buffer.of(1), "unknown"],
  [undefined, "unknown"],
  [Buffer.from("0100", "hex"), "unix"],
  [Buffer.from("01002f78", "hex"), "unix:/x"],
  [Buffer.from("28000000881300000300000000000000", "hex"), "vsock:3:5000"],
])("shows the peer of %p as %s", (bytes, expected) => {
  expect(formatPeer(decodePeer(bytes))).toBe(expected);
});
