/** Options of a vsock device. */
import type { UnixListener } from "../net/listen.ts";
import type { HostBackend, AcceptClient } from "./host/host-backend.ts";
import type { RateLimitOptions } from "./vsock/rate-limits.ts";

/** Options of VsockDevice. */
export interface DeviceOptions extends RateLimitOptions {
  guestCid: number;
  /** The socket that the VMM connects to. */
  vmmListener: UnixListener;
  /**
   * Our buffer for the guest's bytes of each connection, in bytes: `buf_alloc`. Undefined: 65,536, and
   * more for connections that send much (LargeBuffers).
   */
  txBufferSize?: number | undefined;
  /** Size of the largest queue that is accepted. */
  queueSize: number;
  /** Limit of connections with the host, and as many with other VMs. */
  maxConnections: number;
  /** Timeout of the guest's answer to a REQUEST of the host; undefined: the default. */
  connectTimeoutMs?: number | undefined;
  /** Opens the host's side. */
  openBackend: (acceptClient: AcceptClient) => HostBackend;
}
