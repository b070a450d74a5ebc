/** Prints a resolved configuration of `hybrid-proxy` as a file, or the QEMU options for it. */
import { invalidValue } from "../../errors.ts";
import { quoteArgument } from "../../protocols/agent/shell-quote.ts";
import { formatMode, formatVmSize } from "./vm-values.ts";
import { VM_DEFAULTS, type VmConfig } from "./vm-config.ts";

/** A VM with the keys of a configuration file. */
export type PrintedVm = Record<string, string | number>;

/** Returns a document whose YAML or JSON text can be read with `--config`. */
export function configDocument(vms: readonly VmConfig[]): { vms: PrintedVm[] } {
  return { vms: vms.map(printedVm) };
}

// Keys have underscores, the only spelling of vhost-device-vsock. It has none of the optional keys, which
// are printed only if they are set.
function printedVm(vm: VmConfig): PrintedVm {
  const { backend } = vm;
  const unix = backend.kind === "unix" ? backend : undefined;
  const vsock = backend.kind === "vsock" ? backend : undefined;
  const all: Record<string, string | number | undefined> = {
    guest_cid: vm.guestCid,
    socket: vm.socket,
    socket_mode: shown(vm.socketMode, formatMode),
    socket_owner: vm.socketOwner,
    uds_path: unix?.udsPath,
    seqpacket_path: unix?.seqpacketPath,
    uds_mode: shown(unix?.udsMode, formatMode),
    uds_owner: unix?.udsOwner,
    forward_cid: vsock?.forwardCid,
    forward_listen: vsock?.forwardListen.join("+") || undefined,
    forward_listen_seqpacket: vsock?.forwardListenSeqpacket?.join("+") || undefined,
    tx_buffer_size: vm.txBufferSize,
    queue_size: vm.queueSize,
    groups: vm.groups.join("+"),
    max_connections:
      vm.maxConnections === VM_DEFAULTS.maxConnections ? undefined : vm.maxConnections,
    connect_timeout: shown(vm.connectTimeoutMs, formatMilliseconds),
    line_timeout: shown(unix?.lineTimeoutMs, formatMilliseconds),
    rate_to_guest: shown(vm.rateToGuest, formatVmSize),
    rate_from_guest: shown(vm.rateFromGuest, formatVmSize),
    burst: shown(vm.burst, formatVmSize),
    capture: vm.capture?.file,
    capture_bytes: vm.capture?.payloadBytes,
  };
  const set = Object.entries(all).flatMap(([key, value]): [string, string | number][] =>
    value === undefined ? [] : [[key, value]],
  );
  return Object.fromEntries(set);
}

const formatMilliseconds = (milliseconds: number) => `${milliseconds}ms`;

function shown(value: number | undefined, format: (value: number) => string): string | undefined {
  return value === undefined ? undefined : format(value);
}

/** Returns the configuration as YAML. */
export function configYaml(vms: readonly VmConfig[]): string {
  const lines = configDocument(vms).vms.flatMap((vm) =>
    Object.entries(vm).map(([key, value], index) => {
      const text = typeof value === "number" ? String(value) : yamlText(value);
      return `${index === 0 ? "  - " : "    "}${key}: ${text}`;
    }),
  );
  return `vms:\n${lines.join("\n")}\n`;
}

/** Returns plain text if every YAML reader reads it as a string, otherwise quoted as in JSON. */
function yamlText(text: string): string {
  const plain =
    /^[A-Za-z/][\w./+-]*$/.test(text) && !/^(true|false|null|yes|no|on|off|[yn])$/i.test(text);
  return plain ? text : JSON.stringify(text);
}

/**
 * Returns the arguments of QEMU for a VM with this device. The memory backend shares the guest's memory
 * with the device.
 */
export function qemuArguments({ socket }: VmConfig, memory: string): string[] {
  return [
    // Without it QEMU emulates qemu64, which lacks x86-64-v2: the executable needs that in the guest.
    "-cpu",
    "max",
    "-m",
    memory,
    "-object",
    `memory-backend-memfd,id=mem0,size=${memory},share=on`,
    "-machine",
    "memory-backend=mem0",
    "-chardev",
    // In an option of QEMU a comma is written twice.
    `socket,id=vsock0,path=${socket.replaceAll(",", ",,")}`,
    "-device",
    "vhost-user-vsock-pci,chardev=vsock0",
  ];
}

/** Returns {@link qemuArguments} as a shell command line. */
export function qemuLine(vm: VmConfig, memory: string): string {
  const encoder = new TextEncoder();
  return qemuArguments(vm, memory)
    .map((word) => (/^[\w=./,:+-]+$/.test(word) ? word : quoteArgument(encoder.encode(word))))
    .join(" ");
}

/**
 * Checks a memory size: it needs a unit, since `-m` and the memory backend read a plain number in
 * different units.
 *
 * @throws {VsockboxError} USAGE.
 */
export function parseMemorySize(text: string): string {
  const size = text.toUpperCase();
  if (/^[1-9][0-9]{0,14}[KMGT]$/.test(size)) return size;
  throw invalidValue({
    value: text,
    name: "--memory",
    message: "expected a whole number with K, M, G or T, such as 512M",
  });
}
