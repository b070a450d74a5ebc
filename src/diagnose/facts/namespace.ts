/** Network namespaces of vsock: sysctls that Linux has had since 7.0, and `g2h_fallback` since 7.1. */
import type { SystemFiles } from "./system-files.ts";

/** /proc/sys/net/vsock; undefined for a sysctl that the kernel does not have. */
export interface NamespaceFacts {
  /** `local`: sockets reach only those of this network namespace. */
  mode: string | undefined;
  /** The mode of network namespaces that are made in this one; the first write fixes it. */
  childMode: string | undefined;
  /** `1`: CIDs that no VM of this machine has are searched on the host. */
  toHostFallback: string | undefined;
}

/** Reads the sysctls of this process's network namespace. */
export function readNamespace(files: SystemFiles): NamespaceFacts {
  const read = (name: string) => files.text(`/proc/sys/net/vsock/${name}`)?.trim();
  return {
    mode: read("ns_mode"),
    childMode: read("child_ns_mode"),
    toHostFallback: read("g2h_fallback"),
  };
}
