/**
 * Judges the transports of AF_VSOCK. The kernel chooses one by the CID: loopback for CID 1, the way to
 * the host for CID 2, the way to guests for CIDs from 3 on if it is loaded, and otherwise the way to the
 * host, which may have other VMs. net/vmw_vsock/af_vsock.c.
 */
import { CID_HOST, CID_LOCAL, type VsockAddress } from "../../net/address.ts";
import type { ModuleStatus, ModuleName } from "../facts/modules.ts";
import type { VsockFacts } from "../facts/system-facts.ts";
import { error, type Finding, info, ok, type Remedy } from "../finding.ts";
import { asRoot } from "../as-root.ts";

/** A direction, and the modules of which one suffices; the first is the one that is recommended. */
const TRANSPORTS = {
  "transport-loopback": {
    use: "this machine itself (CID 1)",
    modules: ["vsock_loopback"],
  },
  "transport-to-host": {
    use: "a guest's way to its host (CID 2)",
    modules: ["vmw_vsock_virtio_transport", "hv_sock", "vmw_vsock_vmci_transport"],
  },
  "transport-to-guests": {
    use: "a host's way to its guests (CIDs from 3 on)",
    modules: ["vhost_vsock", "vmw_vsock_vmci_transport"],
  },
} as const satisfies Record<string, { use: string; modules: readonly ModuleName[] }>;

type Transport = keyof typeof TRANSPORTS;

const ALL = Object.keys(TRANSPORTS) as Transport[];

const isUsable = ({ state }: ModuleStatus) => state === "loaded" || state === "built-in";

/** The module of a transport that is in use; undefined for none. */
function usedModule({ modules }: VsockFacts, transport: Transport): ModuleName | undefined {
  return TRANSPORTS[transport].modules.find((name) => isUsable(modules[name]));
}

/** Returns the way of loading the recommended module of a transport. */
function remedyOf({ modules, uid, kernel }: VsockFacts, transport: Transport): Remedy {
  const [name] = TRANSPORTS[transport].modules;
  const { state, load } = modules[name];
  if (state === "loadable") return { fix: load.map((line) => asRoot(line, uid)).join(" && ") };
  return state === "missing"
    ? { hint: `${name} is not installed: install the modules of Linux ${kernel.release}` }
    : { hint: `this kernel has no ${name}` };
}

/**
 * Returns how to load the transport that a target needs, or the one that suits this system best: without
 * vsock itself the finding on vsock has that command.
 */
export function transportRemedy(facts: VsockFacts, address?: VsockAddress): Remedy {
  const [needed = bestTransport(facts)] = address === undefined ? [] : transportsFor(address);
  return remedyOf(facts, needed);
}

/** Judges all transports, for a user who has not named a target; none without vsock itself. */
export function judgeTransports(facts: VsockFacts): Finding[] {
  const used = ALL.filter((transport) => usedModule(facts, transport) !== undefined);
  if (used.length > 0)
    return [...ALL.map((transport) => describe(facts, transport)), ...judgeDevice(facts)];
  if (!isUsable(facts.modules.vsock)) return [];
  const best = bestTransport(facts);
  const message = "no transport is loaded, so that no CID can be reached";
  return [
    error("transport-none", "UNAVAILABLE", message, remedyOf(facts, best)),
    ...judgeDevice(facts),
  ];
}

/** A VM with a device needs its driver, a host with /dev/kvm has guests, and loopback serves all others. */
function bestTransport({ virtio, nodes, modules }: VsockFacts): Transport {
  if (virtio.count > 0) return "transport-to-host";
  const isHost = nodes["/dev/kvm"].state === "present" && modules.vhost_vsock.state === "loadable";
  return isHost ? "transport-to-guests" : "transport-loopback";
}

function describe(facts: VsockFacts, transport: Transport): Finding {
  const { use } = TRANSPORTS[transport];
  const name = usedModule(facts, transport);
  if (name !== undefined)
    return ok(transport, `${use}: ${name} is ${inWords(facts.modules[name])}`);
  return info(transport, `${use}: not loaded`, remedyOf(facts, transport));
}

function inWords({ state }: ModuleStatus): string {
  return state === "built-in" ? "built in" : state;
}

/** A device without a driver is the one thing that a VM with another transport still lacks. */
function judgeDevice(facts: VsockFacts): Finding[] {
  const { count, driven } = facts.virtio;
  if (count === 0) return [];
  if (driven > 0) return [ok("vsock-device", "this VM has a virtio vsock device")];
  const message = "this VM has a virtio vsock device without a driver";
  return [error("vsock-device", "UNAVAILABLE", message, remedyOf(facts, "transport-to-host"))];
}

/** Judges the one transport that a target needs; none without vsock itself. */
export function judgeTransportFor(facts: VsockFacts, address: VsockAddress): Finding[] {
  if (!isUsable(facts.modules.vsock)) return [];
  const needed = transportsFor(address).map((transport) => describe(facts, transport));
  const found = needed.find(({ severity }) => severity === "ok");
  if (found !== undefined) return [found];
  const [first] = needed;
  if (first === undefined) return [];
  const remedy = { fix: first.fix, hint: first.hint };
  return [error(first.code, "UNAVAILABLE", first.message, remedy)];
}

/** The transports of which one must be there, the usual one first. */
function transportsFor({ cid, toHost }: VsockAddress): readonly Transport[] {
  if (cid === CID_LOCAL) return ["transport-loopback"];
  if (toHost === true || cid <= CID_HOST) return ["transport-to-host"];
  return ["transport-to-guests", "transport-to-host"];
}
