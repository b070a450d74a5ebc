/** Judges the way to a target: its address, its socket, and the connection. */
import { CID_LOCAL, formatAddress, type SocketAddress } from "../../net/address.ts";
import { error, type Finding, ok, type Remedy } from "../finding.ts";
import { shellWord } from "../../text/shell-word.ts";
import { asRoot } from "../as-root.ts";
import type { TargetFacts } from "../target/target-facts.ts";
import { programName } from "../process-name.ts";
import { judgeGreeting } from "./greeting.ts";
import { judgeSilence } from "./silence.ts";

/** Judges a target up to its agent: each step that worked, and the one that did not. */
export function judgeConnection(facts: TargetFacts, uid: number): Finding[] {
  const { outcome } = facts;
  const reached = outcome.kind === "agent" ? "greet" : outcome.step;
  const findings = [judgeAddress(facts)];
  if (reached === "connect" && outcome.kind === "failed") {
    return [...findings, ...(judgeFile(facts, uid) ?? [judgeConnect(facts, outcome, uid)])];
  }
  findings.push(...describeSocket(facts));
  findings.push(ok("connection", `${connected(facts)} has accepted the connection`));
  if (outcome.kind === "failed" && facts.isVhostUser) return [...findings, judgeVhostUser(facts)];
  if (reached === "guest" && outcome.kind === "failed")
    return [...findings, judgeGuest(facts, outcome)];
  if (facts.address.kind === "hybrid") {
    findings.push(
      ok(
        "guest-connection",
        `the VMM has connected to port ${facts.address.port ?? 0} of the guest`,
      ),
    );
  }
  if (outcome.kind === "failed") findings.push(judgeGreeting(facts, outcome));
  return findings;
}

type Failed = Extract<TargetFacts["outcome"], { kind: "failed" }>;

function judgeAddress({ written, address }: TargetFacts): Finding {
  const shown = formatAddress(address);
  return ok("address", shown === written ? shown : `${written} is ${shown}`);
}

function connected({ address }: TargetFacts): string {
  if (address.kind === "vsock") return `CID ${address.cid}, port ${address.port ?? 0},`;
  return address.path;
}

/** Neither form of address leads anywhere: only a VMM speaks the protocol of this socket. */
function judgeVhostUser({ address }: TargetFacts): Finding {
  const path = address.kind === "vsock" ? "" : address.path;
  return error(
    "service-wrong",
    "BAD_DATA",
    `${path} is the vhost-user socket of a device for its VMM`,
    {
      hint: "the guest is at hybrid: with the device's --uds-path; `vsockbox doctor` lists the sockets of VMs",
    },
  );
}

function describeSocket({ address, file, listener }: TargetFacts): Finding[] {
  if (address.kind === "vsock" || file?.state !== "socket") return [];
  const by =
    listener === undefined ? "a process that this user may not examine" : programName(listener);
  return [ok("socket", `${address.path}: ${by} listens`)];
}

/** The finding for a path that does not lead to a socket, or not for this user; undefined for a socket. */
function judgeFile({ address, file }: TargetFacts, uid: number): Finding[] | undefined {
  if (address.kind === "vsock" || file === undefined) return undefined;
  const { path } = address;
  switch (file.state) {
    case "missing": {
      const message = file.hasDirectory
        ? `${path} does not exist`
        : `${path} does not exist, nor does its directory`;
      return [error("socket-missing", "UNAVAILABLE", message, startRemedy(address))];
    }
    case "denied":
      return [
        error(
          "socket-denied",
          "REFUSED",
          `user ${uid} may not enter the directory of ${path}`,
          sudo(address, uid),
        ),
      ];
    case "other":
      return [
        error("not-a-socket", "UNAVAILABLE", `${path} leads to ${file.kind}, not to a socket`, {
          hint: "check the path: it is the socket of a VMM or of an agent",
        }),
      ];
    case "socket":
      return undefined;
  }
}

/** An agent replaces the file of another; most VMMs do not start while it exists. */
function startRemedy(address: SocketAddress): Remedy {
  return address.kind === "unix"
    ? { fix: `vsockbox agent --listen ${shellWord(formatAddress(address))}` }
    : {
        hint: "start the VM, or check the path: `vsockbox doctor` lists the sockets that it finds",
      };
}

function sudo(address: SocketAddress, uid: number): Remedy {
  return { fix: asRoot(`vsockbox doctor ${shellWord(formatAddress(address))}`, uid) };
}

function judgeConnect(
  facts: TargetFacts,
  { error: thrown, failure, agentAt }: Failed,
  uid: number,
): Finding {
  const { address } = facts;
  if (failure.kind === "owner") {
    return error("socket-owner", "REFUSED", thrown.reason, {
      fix: `vsockbox doctor ${shellWord(formatAddress(address))} --allow-socket-owner ${failure.uid}`,
      hint: "only if that user runs the VMM: any user can make a socket in /tmp",
    });
  }
  if (thrown.code === "TIMEOUT" || thrown.errno === "ETIMEDOUT") return judgeSilence(facts);
  if (address.kind === "vsock") return judgeVsockConnect(facts, thrown, agentAt);
  if (thrown.errno === "ECONNREFUSED") {
    const message = `${address.path} is left over: no process listens on it`;
    const fix =
      address.kind === "hybrid" ? `rm -- ${shellWord(address.path)}` : startRemedy(address).fix;
    const hint = address.kind === "hybrid" ? "then start the VM again" : undefined;
    return error("socket-stale", "UNAVAILABLE", message, { fix, hint });
  }
  if (thrown.errno === "EACCES" || thrown.errno === "EPERM") {
    return error(
      "socket-denied",
      "REFUSED",
      `user ${uid} may not write to ${address.path}`,
      sudo(address, uid),
    );
  }
  return error("connection-failed", thrown.code, thrown.message, { hint: thrown.hint });
}

function judgeVsockConnect(
  { address }: TargetFacts,
  thrown: Failed["error"],
  agentAt: SocketAddress | undefined,
): Finding {
  if (address.kind !== "vsock") throw new TypeError("not an AF_VSOCK address");
  const { cid, port } = address;
  if (thrown.errno === "ENODEV") {
    return error("cid-unknown", "UNAVAILABLE", `no VM has CID ${cid}`, {
      hint: `start the VM with guest-cid=${cid}; VMs of Firecracker, Cloud Hypervisor and hybrid-proxy have hybrid: addresses, which \`vsockbox doctor\` lists`,
    });
  }
  if (thrown.errno === "ECONNRESET" || thrown.errno === "ECONNREFUSED") {
    if (agentAt !== undefined) return wrongPort(port ?? 0, agentAt);
    const remedy =
      cid === CID_LOCAL
        ? { fix: "vsockbox agent --allow-local" }
        : { hint: "run `vsockbox agent` in the guest; `vsockbox wait` waits for it" };
    return error(
      "port-closed",
      "UNAVAILABLE",
      `no process listens on port ${port ?? 0} at CID ${cid}`,
      remedy,
    );
  }
  return error("connection-failed", thrown.code, thrown.message, { hint: thrown.hint });
}

function wrongPort(port: number, agentAt: SocketAddress): Finding {
  const shown = formatAddress(agentAt);
  const message = `no process listens on port ${port}, but an agent answers at ${shown}`;
  return error("port-wrong", "UNAVAILABLE", message, {
    fix: `vsockbox doctor ${shellWord(shown)}`,
  });
}

function judgeGuest(facts: TargetFacts, { error: thrown, failure, agentAt }: Failed): Finding {
  const { address } = facts;
  if (thrown.code === "TIMEOUT") return judgeSilence(facts);
  if (failure.kind === "service") return judgeGreeting(facts, { error: thrown, failure });
  if (thrown.code !== "UNAVAILABLE" || address.kind !== "hybrid") {
    return error("connection-failed", thrown.code, thrown.message, { hint: thrown.hint });
  }
  const port = address.port ?? 0;
  if (agentAt !== undefined) return wrongPort(port, agentAt);
  const message = `the VMM has closed the connection: no process listens on port ${port} of the guest, or no guest runs`;
  return error("guest-port-closed", "UNAVAILABLE", message, {
    hint: "run `vsockbox agent` in the guest; `vsockbox wait` waits for it",
  });
}
