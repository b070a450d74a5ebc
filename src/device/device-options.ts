/** What a device is made with. */
import type { UnixListener } from "../net/listen.ts";
import type { HostBackend, AcceptClient } from "./host/host-backend.ts";
import type { RateLimitOptions } from "./vsock/rate-limits.ts";

/** What a device is made of. */
export interface DeviceOptions extends RateLimitOptions {
  guestCid: number;
  /** Where the VMM connects. */
  vmmListener: UnixListener;
  /** Our buffer for each connection's bytes from the guest. */
  txBufferSize: number;
  /** Largest ring that is accepted. */
  queueSize: number;
  /** Connections of the host at once, and as many with other VMs. */
  maxConnections: number;
  /** How long the guest may take to answer a request of the host, in milliseconds; undefined: the default. */
  connectTimeoutMs?: number | undefined;
  /** Makes the host's side. */
  openBackend: (acceptClient: AcceptClient) => HostBackend;
}
