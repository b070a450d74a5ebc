/** Judges the sysctls of vsock: which sockets and VMs this network namespace reaches. */
import type { VsockFacts } from "../facts/system-facts.ts";
import { type Finding, info, ok, warning } from "../finding.ts";
import { asRoot } from "../as-root.ts";

/** Judges the network namespace; kernels before 7.0 have nothing to judge. */
export function judgeNamespace({ namespace, uid, virtio }: VsockFacts): Finding[] {
  const { mode, childMode, toHostFallback } = namespace;
  const findings: Finding[] = [];
  if (mode === "local") {
    const message =
      "net.vsock.ns_mode is local: only sockets and VMs of this network namespace are reached";
    findings.push(
      warning("namespace-local", message, {
        fix: asRoot("nsenter --net=/proc/1/ns/net vsockbox doctor", uid),
        hint: "the mode of a network namespace cannot be changed: use another one",
      }),
    );
  } else if (mode !== undefined) {
    findings.push(ok("namespace", `net.vsock.ns_mode is ${mode}`));
  }
  if (childMode === "local" && mode !== "local") {
    findings.push(
      info(
        "namespace",
        "net.vsock.child_ns_mode is local: containers started now have a vsock of their own",
      ),
    );
  }
  if (toHostFallback === "0" && virtio.count > 0) {
    const message =
      "net.vsock.g2h_fallback is 0: other VMs of the host are not reached by their CID";
    findings.push(
      info("to-host-fallback-off", message, {
        fix: asRoot("sh -c 'echo 1 > /proc/sys/net/vsock/g2h_fallback'", uid),
        hint: "sibling: addresses reach them all the same",
      }),
    );
  }
  return findings;
}
