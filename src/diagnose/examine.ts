/** The two examinations of `doctor`: of this system, and of a target. */
import { SystemFiles } from "./facts/system-files.ts";
import { readNeighbours, readVsockFacts, type VsockFacts } from "./facts/system-facts.ts";
import type { Finding } from "./finding.ts";
import { judgeAnsweringAgent } from "./judge/agent.ts";
import { judgeConnection } from "./judge/connection.ts";
import { judgeDevices } from "./judge/devices.ts";
import { judgeKernel } from "./judge/kernel.ts";
import { judgeNamespace } from "./judge/namespace.ts";
import { judgeNeighbours } from "./judge/neighbours.ts";
import { judgeTransportFor, judgeTransports, transportRemedy } from "./judge/transports.ts";
import { probeTarget, type ProbedTarget } from "./target/probe-target.ts";

/** Examines whether and why AF_VSOCK works here, and which sockets and profiles there are. */
export function examineSystem(files = new SystemFiles()): Finding[] {
  const facts = readVsockFacts(files);
  return [
    ...judgeKernel(facts, transportRemedy(facts)),
    ...judgeTransports(facts),
    ...judgeDevices(facts),
    ...judgeNamespace(facts),
    ...judgeNeighbours(readNeighbours(files)),
  ];
}

/**
 * Examines the way to a target and its agent. Of this system only what an AF_VSOCK address needs is
 * judged.
 *
 * @throws {VsockboxError} ABORTED.
 */
export async function examineTarget(
  target: Omit<ProbedTarget, "ownCid">,
  files = new SystemFiles(),
): Promise<Finding[]> {
  const facts = readVsockFacts(files);
  const { address } = target;
  const needed =
    address.kind === "vsock"
      ? [
          ...judgeKernel(facts, transportRemedy(facts, address)),
          ...judgeTransportFor(facts, address),
          ...judgeNamespace(facts),
        ]
      : [];
  if (needed.some(({ severity }) => severity === "error")) return needed;
  const probed = await probeTarget(files, { ...target, ownCid: ownCid(facts) });
  return [...needed, ...judgeConnection(probed, facts.uid), ...judgeAnsweringAgent(probed)];
}

function ownCid({ localCid }: VsockFacts): number | undefined {
  return localCid !== undefined && "cid" in localCid ? localCid.cid : undefined;
}
