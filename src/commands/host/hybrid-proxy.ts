/** `vsockbox hybrid-proxy`: vsock devices for VMs, drop-in for vhost-device-vsock. */
import {
  readVmsFile,
  VM_DEFAULTS,
  VM_KEYS,
  vmFromOptions,
  vmsFromWords,
  type VmConfig,
  type VmKey,
} from "../../device/config/device-config.ts";
import {
  configDocument,
  configYaml,
  parseMemorySize,
  qemuArguments,
  qemuLine,
} from "../../device/config/print-config.ts";
import { SOCKET_OWNER_VARIABLE } from "../../config/socket-owners.ts";
import { parseHttpAddress } from "../../net/http.ts";
import {
  DEFAULT_RECORD_PAYLOAD_BYTES,
  MAX_RECORD_PAYLOAD_BYTES,
} from "../../protocols/pcap/vsock-record.ts";
import { print, printJson } from "../../ui/report.ts";
import { CONFINED_VARIABLE, SIGNALS_HELD } from "../../device/confine/confined-variable.ts";
import { LIMITS_GROUP, socketOwners } from "../shared/connect-options.ts";
import { flag, option, list, type ArgumentValues } from "../../ui/argument.ts";
import { word, FILE } from "../../ui/value-kind.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { usageError } from "../../ui/usage-error.ts";

const DEFAULT_MEMORY = "1G";

/** Headings of the help. */
const SEVERAL = "Several VMs";
const OBSERVE = "Captures and metrics";
const CONFINE = "Confinement";
const PRINT = "Print and exit";

const ARGUMENTS = {
  guestCid: option(word("CID"), {
    defaultText: String(VM_DEFAULTS.guestCid),
    summary: "The guest's CID",
  }),
  socket: option(word("PATH"), {
    summary: "Unix socket to create for the VMM, which speaks vhost-user on it",
  }),
  socketMode: option(word("MODE"), { defaultText: "0600", summary: "Its file mode, in octal" }),
  socketOwner: option(word("USER:GROUP"), {
    summary: "Its owner: USER, USER:GROUP or :GROUP, by name or number",
  }),
  udsPath: option(word("PATH"), {
    summary:
      "Unix socket to create for the host: CONNECT PORT leads to the guest's port; the guest's connections to a port lead to PATH_PORT",
  }),
  seqpacketPath: option(word("PATH"), {
    summary:
      "With --uds-path: seqpacket socket to create for the host, for the guest's seqpacket ports",
  }),
  udsMode: option(word("MODE"), {
    defaultText: "0600",
    summary: "File mode of the sockets for the host, in octal",
  }),
  udsOwner: option(word("USER:GROUP"), { summary: "Owner of the sockets for the host" }),
  forwardCid: option(word("CID"), {
    summary: "Instead of --uds-path: the guest's connections lead to this CID",
  }),
  forwardListen: option(word("PORT+PORT"), {
    summary: "With --forward-cid: vsock ports of the host that lead to the guest's same ports",
  }),
  forwardListenSeqpacket: option(word("PORT+PORT"), { summary: "The same for seqpacket ports" }),
  groups: option(word("NAME+NAME"), {
    defaultText: VM_DEFAULTS.groups.join("+"),
    summary: "VMs that share a group reach each other",
  }),
  queueSize: option(word("COUNT"), {
    defaultText: String(VM_DEFAULTS.queueSize),
    summary: "Descriptors of a virtqueue, a power of two",
  }),
  vm: list(word("KEY=VALUE,..."), {
    heading: SEVERAL,
    summary: "Instead of the options of a single VM: one VM, with their names as keys",
  }),
  config: option(FILE, {
    heading: SEVERAL,
    summary: "Instead of both: a YAML file with a list `vms:` of the same keys",
  }),
  txBufferSize: option(word("BYTES"), {
    heading: LIMITS_GROUP,
    defaultText: `${VM_DEFAULTS.txBufferSize}, for 64 that send much 1048576`,
    summary: "Buffer for the bytes that one connection sends",
  }),
  maxConnections: option(word("COUNT"), {
    heading: LIMITS_GROUP,
    defaultText: String(VM_DEFAULTS.maxConnections),
    summary: "Connections at once; excess ones are refused",
  }),
  connectTimeout: option(word("TIME"), {
    heading: LIMITS_GROUP,
    defaultText: `${VM_DEFAULTS.connectTimeoutMs / 1000}s`,
    summary: "Close a client whose CONNECT the guest has not answered after this long",
  }),
  lineTimeout: option(word("TIME"), {
    heading: LIMITS_GROUP,
    defaultText: `${VM_DEFAULTS.lineTimeoutMs / 1000}s`,
    summary: "Close a client that has not sent a CONNECT line after this long",
  }),
  rateToGuest: option(word("BYTES"), {
    heading: LIMITS_GROUP,
    summary: "Bytes per second to the guest; 64K, 10M and 1G are units of 1024",
  }),
  rateFromGuest: option(word("BYTES"), {
    heading: LIMITS_GROUP,
    summary: "Bytes per second from the guest",
  }),
  burst: option(word("BYTES"), {
    heading: LIMITS_GROUP,
    defaultText: "a tenth of a second's, at least 64K",
    summary: "With a rate: bytes that may follow a pause at once",
  }),
  capture: option(FILE, {
    heading: OBSERVE,
    summary: "Capture all packets to this new pcap file, which Wireshark reads",
  }),
  captureBytes: option(word("COUNT"), {
    heading: OBSERVE,
    defaultText: `${DEFAULT_RECORD_PAYLOAD_BYTES}; whole packets: ${MAX_RECORD_PAYLOAD_BYTES}`,
    summary: "Bytes of each packet's payload to capture",
  }),
  force: flag({ short: "f", heading: OBSERVE, summary: "Replace capture files that exist" }),
  metrics: option(word("ADDRESS"), {
    heading: OBSERVE,
    summary: "Serve metrics for Prometheus on 127.0.0.1:9464, :9464 or unix:PATH",
  }),
  allowSocketOwner: option(word("USER"), {
    heading: CONFINE,
    defaultText: "the device's own user and root",
    summary: `Also let guests reach services at PATH_PORT on which this user listens, or \`any\`; also ${SOCKET_OWNER_VARIABLE}`,
  }),
  sandbox: flag({
    heading: CONFINE,
    summary:
      "After the sockets are created, drop all capabilities, system calls and files that a device does not need",
  }),
  user: option(word("USER:GROUP"), {
    heading: CONFINE,
    summary: "With --sandbox, as root: change to this user after the sockets are created",
  }),
  printConfig: flag({ heading: PRINT, summary: "Print the configuration as a file" }),
  printQemu: flag({ heading: PRINT, summary: "Print QEMU's options for each VM" }),
  memory: option(word("SIZE"), {
    heading: PRINT,
    defaultText: DEFAULT_MEMORY,
    summary: "With --print-qemu: the VM's memory",
  }),
  json: flag({ heading: PRINT, summary: "Print JSON instead of text" }),
};

type Values = ArgumentValues<typeof ARGUMENTS>;

/** The options of a single VM, which are keys of `--vm` and of the file as well. */
const VM_OPTIONS = [
  "guestCid",
  "socket",
  "socketMode",
  "socketOwner",
  "udsPath",
  "seqpacketPath",
  "udsMode",
  "udsOwner",
  "forwardCid",
  "forwardListen",
  "forwardListenSeqpacket",
  "txBufferSize",
  "queueSize",
  "groups",
  "maxConnections",
  "connectTimeout",
  "lineTimeout",
  "rateToGuest",
  "rateFromGuest",
  "burst",
  "capture",
  "captureBytes",
] as const satisfies readonly (keyof Values)[];

export const command = defineCommand({
  name: "hybrid-proxy",
  group: "Host devices",
  summary: "Serve vsock devices to VMs without kernel modules",
  args: ARGUMENTS,
  conflicts: {
    vm: [...VM_OPTIONS, "config"],
    config: VM_OPTIONS,
    printConfig: ["printQemu"],
  },
  requires: { memory: ["printQemu"], user: ["sandbox"], json: ["printConfig", "printQemu"] },
  examples: [
    {
      command:
        "vsockbox hybrid-proxy --socket $XDG_RUNTIME_DIR/vhost3.socket --uds-path $XDG_RUNTIME_DIR/vm3.vsock",
      explanation:
        "One VM; `vsockbox exec hybrid:$XDG_RUNTIME_DIR/vm3.vsock` reaches the agent in it",
    },
    {
      command:
        "vsockbox hybrid-proxy --vm guest-cid=3,socket=$XDG_RUNTIME_DIR/3.socket,uds-path=$XDG_RUNTIME_DIR/3.vsock --vm guest-cid=4,socket=$XDG_RUNTIME_DIR/4.socket,forward-cid=1,forward-listen=9001+9002",
      explanation: "Two VMs that also reach each other, one of them joined to the host's own vsock",
    },
    {
      command:
        "vsockbox hybrid-proxy --sandbox --user vsock:kvm --vm socket=/run/vsock/3.socket,socket-owner=:kvm,socket-mode=0660,uds-path=/run/vsock/3.vsock,rate-from-guest=10M",
      explanation: "As root: the VMM of group kvm may connect, and the device keeps no rights",
    },
    {
      command: "vsockbox hybrid-proxy --config vms.yaml --print-qemu --memory 512M",
      explanation: "The options that QEMU needs for each VM of the file",
    },
    {
      command:
        "vsockbox hybrid-proxy --socket $XDG_RUNTIME_DIR/3.socket --uds-path $XDG_RUNTIME_DIR/3.vsock --metrics :9464",
      explanation:
        "With metrics for Prometheus. `vsockbox hybrid-proxy status` shows the VMs and their connections, `vsockbox hybrid-proxy capture` the packets",
    },
    {
      command: "vsockbox hybrid-proxy bridge --uds-path $XDG_RUNTIME_DIR/vm3.vsock --to vsock:3",
      explanation: "The same Unix socket if the kernel has vhost_vsock: `vsockbox bridge --help`",
    },
  ],
  async run(args) {
    const handed = process.env[CONFINED_VARIABLE];
    if (handed !== undefined && handed !== SIGNALS_HELD) {
      const { serveConfinedDevice } = await import("../../device/confine/confined-device.ts");
      return serveConfinedDevice(handed);
    }
    const memory = parseMemorySize(args.memory ?? DEFAULT_MEMORY);
    const vms = configuredVms(args);
    if (args.printConfig) {
      if (args.json) printJson(configDocument(vms));
      else for (const line of configYaml(vms).trimEnd().split("\n")) print(line);
      return 0;
    }
    if (args.printQemu) {
      printQemu(vms, memory, args.json);
      return 0;
    }
    const address = args.metrics;
    const metrics = address === undefined ? undefined : parseHttpAddress(address, "metrics");
    const force = args.force;
    if (force && vms.every(({ capture }) => capture === undefined)) {
      throw usageError(command, "--force requires a capture");
    }
    const observers = { metrics, force, socketOwners: socketOwners(args, undefined) };
    if (args.sandbox) {
      const { becomeConfinedDevice } = await import("../../device/confine/confined-device.ts");
      return becomeConfinedDevice(vms, { ...observers, user: args.user });
    }
    const { runDevice } = await import("../../device/serve/run-devices.ts");
    return runDevice(vms, observers);
  },
});

function printQemu(vms: readonly VmConfig[], memory: string, json: boolean): void {
  if (json) {
    printJson(vms.map((vm) => ({ guest_cid: vm.guestCid, arguments: qemuArguments(vm, memory) })));
  } else {
    for (const vm of vms) print(qemuLine(vm, memory));
  }
}

/** Returns the options of a single VM that are given, by their keys in `--vm` and in the file. */
function vmOptions(args: Values): Partial<Record<VmKey, string>> {
  const all: Readonly<Record<VmKey, string | undefined>> = {
    "guest-cid": args.guestCid,
    socket: args.socket,
    "socket-mode": args.socketMode,
    "socket-owner": args.socketOwner,
    "uds-path": args.udsPath,
    "seqpacket-path": args.seqpacketPath,
    "uds-mode": args.udsMode,
    "uds-owner": args.udsOwner,
    "forward-cid": args.forwardCid,
    "forward-listen": args.forwardListen,
    "forward-listen-seqpacket": args.forwardListenSeqpacket,
    "tx-buffer-size": args.txBufferSize,
    "queue-size": args.queueSize,
    groups: args.groups,
    "max-connections": args.maxConnections,
    "connect-timeout": args.connectTimeout,
    "line-timeout": args.lineTimeout,
    "rate-to-guest": args.rateToGuest,
    "rate-from-guest": args.rateFromGuest,
    burst: args.burst,
    capture: args.capture,
    "capture-bytes": args.captureBytes,
  };
  const given: Partial<Record<VmKey, string>> = {};
  for (const key of VM_KEYS) {
    const value = all[key];
    if (value !== undefined) given[key] = value;
  }
  return given;
}

/** Returns the VMs in the one of the three forms that is used. */
function configuredVms(args: Values): VmConfig[] {
  if (args.config !== undefined) return readVmsFile(args.config);
  return args.vm.length > 0 ? vmsFromWords(args.vm) : [vmFromOptions(vmOptions(args))];
}
