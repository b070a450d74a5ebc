/** Connections of the muxer's parts without a socket. */
import { Connection } from "../../src/protocols/virtio-vsock/connection.ts";
import { PacketType } from "../../src/protocols/virtio-vsock/packet.ts";
import { StreamConnection } from "../../src/device/vsock/stream-connection.ts";

/** Returns a stream connection whose host's end is not connected. */
export function unconnected(hostPort: number, guestPort = 1): StreamConnection {
  const vsock = new Connection(hostPort, guestPort, PacketType.Stream, 4096);
  return new StreamConnection(vsock, false);
}
