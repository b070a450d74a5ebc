/** Facts of a system on which everything works, for tests to break one at a time. */
import type { DeviceNode } from "../../src/diagnose/facts/devices.ts";
import type { HolderProcess } from "../../src/diagnose/facts/processes.ts";
import type { VsockFacts } from "../../src/diagnose/facts/system-facts.ts";
import type { TargetFacts } from "../../src/diagnose/target/target-facts.ts";
import { VsockboxError, type ErrorDetails } from "../../src/errors.ts";
import { FEATURES } from "../../src/protocols/agent/hello.ts";

const ABSENT = { state: "absent", load: [] } as const;
export const LOADED = { state: "loaded", load: [] } as const;
export const MISSING = { state: "missing", load: [] } as const;

/** A module that modprobe loads. */
export const loadable = (name: string) =>
  ({ state: "loadable", load: [`modprobe ${name}`] }) as const;

/** A node that anybody may open. */
export function node(changes: Partial<DeviceNode> = {}): DeviceNode {
  const common = { state: "present", mode: 0o666, uid: 0, gid: 0 } as const;
  return { ...common, isAccessible: true, minor: 7, ...changes };
}

const NO_NODE = node({ state: "missing", isAccessible: false });

/** A guest with a loaded virtio transport and CID 3, and root as its user. */
export function system(changes: Partial<VsockFacts> = {}): VsockFacts {
  return {
    uid: 0,
    switchedOff: undefined,
    kernel: { release: "6.1.0-9-amd64", version: [6, 1, 0], config: new Map() },
    modules: {
      vsock: LOADED,
      vsock_loopback: ABSENT,
      vmw_vsock_virtio_transport: LOADED,
      vhost_vsock: ABSENT,
      hv_sock: ABSENT,
      vmw_vsock_vmci_transport: ABSENT,
    },
    nodes: {
      "/dev/vsock": node(),
      "/dev/vhost-vsock": NO_NODE,
      "/dev/kvm": NO_NODE,
      "/dev/fuse": NO_NODE,
    },
    virtio: { count: 1, driven: 1 },
    namespace: { mode: undefined, childMode: undefined, toHostFallback: undefined },
    localCid: { cid: 3 },
    ...changes,
  };
}

/** The same with other modules. */
export function withModules(
  modules: Partial<VsockFacts["modules"]>,
  changes: Partial<VsockFacts> = {},
): VsockFacts {
  const facts = system(changes);
  return { ...facts, modules: { ...facts.modules, ...modules } };
}

/** A process with pid 71. */
export function holder(command: string, isStopped = false): HolderProcess {
  return { pid: 71, command: command.split(" "), isStopped };
}

/** An agent that works, at a Unix socket. */
export function agentTarget(
  agent: Partial<Extract<TargetFacts["outcome"], { kind: "agent" }>["agent"]> = {},
  changes: Partial<TargetFacts> = {},
): TargetFacts {
  return {
    written: "unix:/run/a.sock",
    address: { kind: "unix", path: "/run/a.sock" },
    file: { state: "socket", uid: 0 },
    listener: holder("/usr/bin/vsockbox agent"),
    isVhostUser: false,
    stoppedAgents: [],
    outcome: {
      kind: "agent",
      agent: {
        version: "vsockbox 1",
        features: FEATURES,
        isAnswering: true,
        isReady: undefined,
        clock: { offsetMs: 2, errorMs: 1 },
        limits: undefined,
        ...agent,
      },
    },
    ...changes,
  };
}

type Failed = Extract<TargetFacts["outcome"], { kind: "failed" }>;

/** A target whose connection has failed. */
export function failedTarget(
  step: Failed["step"],
  thrown: Partial<ErrorDetails> = {},
  changes: Partial<TargetFacts> & Partial<Pick<Failed, "failure" | "agentAt">> = {},
): TargetFacts {
  const { failure = { kind: "other" } as const, agentAt, ...facts } = changes;
  const error = new VsockboxError({ code: "UNAVAILABLE", operation: "connect", ...thrown });
  const outcome = { kind: "failed", step, error, failure, agentAt } as const;
  return { ...agentTarget({}, facts), outcome };
}

/** The addresses of the other kinds. */
export const HYBRID = {
  written: "hybrid:/run/v.sock:6000",
  address: { kind: "hybrid", path: "/run/v.sock", port: 6000 },
  listener: undefined,
} as const;

export const vsockTarget = (cid: number, port = 5000) =>
  ({
    written: String(cid),
    address: { kind: "vsock", cid, port },
    file: undefined,
    listener: undefined,
  }) as const;
