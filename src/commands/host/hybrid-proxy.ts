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
import { VsockboxError } from "../../errors.ts";
import { parseHttpAddress } from "../../net/http.ts";
import {
  DEFAULT_RECORD_PAYLOAD_BYTES,
  MAX_RECORD_PAYLOAD_BYTES,
} from "../../protocols/pcap/vsock-record.ts";
import type { Arguments, Command } from "../../ui/command.ts";
import { print, printJson } from "../../ui/report.ts";
import { CONFINED_VARIABLE, SIGNALS_HELD } from "../../device/confine/confined-variable.ts";
import { jsonArgument, socketOwners } from "../shared/connect-options.ts";

const DEFAULT_MEMORY = "1G";

export const command: Command = {
  name: "hybrid-proxy",
  description: "Give VMs a vsock device without kernel modules, like vhost-device-vsock",
  args: {
    "guest-cid": {
      type: "string",
      valueHint: "CID",
      description: `The guest's CID (default ${VM_DEFAULTS.guestCid})`,
    },
    socket: {
      type: "string",
      valueHint: "PATH",
      description: "Unix socket to be made for the VMM, which speaks vhost-user on it",
    },
    "socket-mode": {
      type: "string",
      valueHint: "MODE",
      description: "The mode of this socket, octal (default 0600)",
    },
    "socket-owner": {
      type: "string",
      valueHint: "USER:GROUP",
      description: "Whose it becomes: USER, USER:GROUP or :GROUP, by name or number",
    },
    "uds-path": {
      type: "string",
      valueHint: "PATH",
      description:
        "Unix socket to be made for the host: CONNECT PORT leads to the guest's port, and the guest's connections to a port go to PATH_PORT",
    },
    "seqpacket-path": {
      type: "string",
      valueHint: "PATH",
      description:
        "With --uds-path: a seqpacket socket to be made for the host, for the guest's seqpacket ports",
    },
    "uds-mode": {
      type: "string",
      valueHint: "MODE",
      description: "The mode of the sockets for the host, octal (default 0600)",
    },
    "uds-owner": { type: "string", valueHint: "USER:GROUP", description: "Whose they become" },
    "forward-cid": {
      type: "string",
      valueHint: "CID",
      description: "Instead of --uds-path: the guest's connections go to this CID",
    },
    "forward-listen": {
      type: "string",
      valueHint: "PORT+PORT",
      description:
        "With --forward-cid: vsock ports of the host that lead to the guest's same ports",
    },
    "forward-listen-seqpacket": {
      type: "string",
      valueHint: "PORT+PORT",
      description: "The same for seqpacket ports",
    },
    "tx-buffer-size": {
      type: "string",
      valueHint: "BYTES",
      description: `Buffer for what one connection sends (default ${VM_DEFAULTS.txBufferSize})`,
    },
    "queue-size": {
      type: "string",
      valueHint: "COUNT",
      description: `Entries of a virtqueue, a power of two (default ${VM_DEFAULTS.queueSize})`,
    },
    groups: {
      type: "string",
      valueHint: "NAME+NAME",
      description: `VMs that share a group reach each other (default ${VM_DEFAULTS.groups.join("+")})`,
    },
    capture: {
      type: "string",
      valueHint: "FILE",
      description: "Capture all packets to this pcap file, which Wireshark reads; it must be new",
    },
    "capture-bytes": {
      type: "string",
      valueHint: "COUNT",
      description: `Bytes of each packet's payload that are captured (default ${DEFAULT_RECORD_PAYLOAD_BYTES}, whole packets ${MAX_RECORD_PAYLOAD_BYTES})`,
    },
    "max-connections": {
      type: "string",
      valueHint: "COUNT",
      description: `Connections at once; more are refused (default ${VM_DEFAULTS.maxConnections})`,
    },
    "connect-timeout": {
      type: "string",
      valueHint: "TIME",
      description: `End a client's CONNECT that the guest has not answered after this long (default ${VM_DEFAULTS.connectTimeoutMs / 1000}s)`,
    },
    "line-timeout": {
      type: "string",
      valueHint: "TIME",
      description: `Close a client without a CONNECT line after this long (default ${VM_DEFAULTS.lineTimeoutMs / 1000}s)`,
    },
    "rate-to-guest": {
      type: "string",
      valueHint: "BYTES",
      description: "At most so many bytes a second to the guest; 64K, 10M and 1G are units of 1024",
    },
    "rate-from-guest": {
      type: "string",
      valueHint: "BYTES",
      description: "At most so many bytes a second from the guest",
    },
    burst: {
      type: "string",
      valueHint: "BYTES",
      description:
        "With a rate: so many bytes may come at once after a pause (default: those of a tenth of a second, at least 64K)",
    },
    vm: {
      type: "string",
      valueHint: "KEY=VALUE,…",
      repeatable: true,
      description:
        "Instead of the options above: one VM, with their names as keys. May be repeated",
    },
    config: {
      type: "string",
      valueHint: "FILE",
      description: "Instead of all of them: a YAML file with a list `vms:` of the same keys",
    },
    metrics: {
      type: "string",
      valueHint: "ADDRESS",
      description: "Serve metrics for Prometheus: 127.0.0.1:9464, :9464 or unix:PATH",
    },
    "allow-socket-owner": {
      type: "string",
      valueHint: "USER",
      description: `Also let guests reach services at PATH_PORT on which this user listens, or \`any\` (default: the device's own user and root; also ${SOCKET_OWNER_VARIABLE})`,
    },
    force: { type: "boolean", description: "Captures replace files that exist" },
    sandbox: {
      type: "boolean",
      description:
        "Once the sockets are there: give up all capabilities, system calls and files that a device needs not",
    },
    user: {
      type: "string",
      valueHint: "USER:GROUP",
      description: "With --sandbox, as root: become this user when the sockets are there",
    },
    "print-config": { type: "boolean", description: "Print the configuration as a file, and end" },
    "print-qemu": { type: "boolean", description: "Print QEMU's options for each VM, and end" },
    memory: {
      type: "string",
      valueHint: "SIZE",
      description: `With --print-qemu: the VM's memory (default ${DEFAULT_MEMORY})`,
    },
    ...jsonArgument,
  },
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
      explanation:
        "The same Unix socket where the kernel has vhost_vsock: `vsockbox bridge --help`",
    },
  ],
  async run(args) {
    const handed = process.env[CONFINED_VARIABLE];
    if (handed !== undefined && handed !== SIGNALS_HELD) {
      const { serveConfinedDevice } = await import("../../device/confine/confined-device.ts");
      return serveConfinedDevice(handed);
    }
    checkPrinting(args);
    const memory = parseMemorySize(args.string("memory") ?? DEFAULT_MEMORY);
    const vms = configuredVms(args);
    if (args.flag("print-config")) {
      if (args.flag("json")) printJson(configDocument(vms));
      else for (const line of configYaml(vms).trimEnd().split("\n")) print(line);
      return 0;
    }
    if (args.flag("print-qemu")) {
      printQemu(vms, memory, args.flag("json"));
      return 0;
    }
    const address = args.string("metrics");
    const metrics = address === undefined ? undefined : parseHttpAddress(address, "metrics");
    const force = args.flag("force");
    if (force && vms.every(({ capture }) => capture === undefined)) {
      throw usage("--force needs a capture");
    }
    const observers = { metrics, force, socketOwners: socketOwners(args, undefined) };
    if (args.flag("sandbox")) {
      const { becomeConfinedDevice } = await import("../../device/confine/confined-device.ts");
      return becomeConfinedDevice(vms, { ...observers, user: args.string("user") });
    }
    const { runDevice } = await import("../../device/serve/run-devices.ts");
    return runDevice(vms, observers);
  },
};

function printQemu(vms: readonly VmConfig[], memory: string, json: boolean): void {
  if (json) {
    printJson(vms.map((vm) => ({ guest_cid: vm.guestCid, arguments: qemuArguments(vm, memory) })));
  } else {
    for (const vm of vms) print(qemuLine(vm, memory));
  }
}

function usage(message: string): VsockboxError {
  return new VsockboxError({
    code: "USAGE",
    operation: "hybrid-proxy",
    message,
    hint: "`vsockbox hybrid-proxy --help` shows the options and examples",
  });
}

function checkPrinting(args: Arguments): void {
  const [config, qemu] = [args.flag("print-config"), args.flag("print-qemu")];
  if (config && qemu) throw usage("--print-config and --print-qemu exclude each other");
  if (args.string("memory") !== undefined && !qemu) throw usage("--memory needs --print-qemu");
  if (args.string("user") !== undefined && !args.flag("sandbox")) {
    throw usage("--user needs --sandbox");
  }
  if (args.flag("json") && !config && !qemu) {
    throw usage("--json needs --print-config or --print-qemu");
  }
}

/** The VMs in whichever of the three forms they are given. */
function configuredVms(args: Arguments): VmConfig[] {
  const options: Partial<Record<VmKey, string>> = {};
  for (const key of VM_KEYS) {
    const value = args.string(key);
    if (value !== undefined) options[key] = value;
  }
  const [first] = Object.keys(options);
  const words = args.list("vm");
  const config = args.string("config");
  const forms = [
    ...(first === undefined ? [] : [`--${first}`]),
    ...(words.length === 0 ? [] : ["--vm"]),
    ...(config === undefined ? [] : ["--config"]),
  ];
  if (forms.length > 1) throw usage(`${forms.join(" and ")} exclude each other`);
  if (config !== undefined) return readVmsFile(config);
  return words.length > 0 ? vmsFromWords(words) : [vmFromOptions(options)];
}
