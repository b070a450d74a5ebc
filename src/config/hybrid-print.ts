/** A resolved configuration of `hybrid-proxy` as a file, and as the QEMU options that go with it. */
import { VsockboxError } from "../errors.ts";
import { quoteArgument } from "../protocols/agent/shell-quote.ts";
import type { HybridBackend, VmConfig } from "./hybrid.ts";

/** A VM with the keys and the spelling of a configuration file. */
export type PrintedVm = Record<string, string | number>;

/** The document whose YAML or JSON text can be read as `--config`. */
export function configDocument(vms: readonly VmConfig[]): { vms: PrintedVm[] } {
  return { vms: vms.map(printedVm) };
}

// These spellings, one by one, are what vhost-device-vsock reads as well.
function printedVm({
  guestCid,
  socket,
  backend,
  txBufferSize,
  queueSize,
  groups,
  capture,
}: VmConfig): PrintedVm {
  return {
    guest_cid: guestCid,
    socket,
    ...printedBackend(backend),
    tx_buffer_size: txBufferSize,
    queue_size: queueSize,
    groups: groups.join("+"),
    ...(capture === undefined ? {} : { capture: capture.file }),
    ...(capture?.payloadBytes === undefined ? {} : { capture_bytes: capture.payloadBytes }),
  };
}

function printedBackend(backend: HybridBackend): PrintedVm {
  if (backend.kind === "unix") {
    const { udsPath, seqpacketPath } = backend;
    return {
      uds_path: udsPath,
      ...(seqpacketPath === undefined ? {} : { seqpacket_path: seqpacketPath }),
    };
  }
  const { forwardCid, forwardListen, forwardListenSeqpacket = [] } = backend;
  return {
    "forward-cid": forwardCid,
    ...printedPorts("forward-listen", forwardListen),
    ...printedPorts("forward-listen-seqpacket", forwardListenSeqpacket),
  };
}

function printedPorts(key: string, ports: readonly number[]): PrintedVm {
  return ports.length === 0 ? {} : { [key]: ports.join("+") };
}

/** The configuration as YAML. */
export function configYaml(vms: readonly VmConfig[]): string {
  const lines = configDocument(vms).vms.flatMap((vm) =>
    Object.entries(vm).map(([key, value], index) => {
      const shown = typeof value === "number" ? String(value) : yamlText(value);
      return `${index === 0 ? "  - " : "    "}${key}: ${shown}`;
    }),
  );
  return `vms:\n${lines.join("\n")}\n`;
}

/** Plain where no reader could take it for anything else, otherwise quoted as in JSON. */
function yamlText(text: string): string {
  const plain =
    /^[A-Za-z/][\w./+-]*$/.test(text) && !/^(true|false|null|yes|no|on|off|[yn])$/i.test(text);
  return plain ? text : JSON.stringify(text);
}

/**
 * The arguments that give a VM of QEMU this device. The guest's memory must be shared with the
 * device, hence the memory backend.
 */
export function qemuArguments({ socket }: VmConfig, memory: string): string[] {
  return [
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

/** {@link qemuArguments} as words of a shell line. */
export function qemuLine(vm: VmConfig, memory: string): string {
  const encoder = new TextEncoder();
  return qemuArguments(vm, memory)
    .map((word) => (/^[\w=./,:+-]+$/.test(word) ? word : quoteArgument(encoder.encode(word))))
    .join(" ");
}

/**
 * A memory size in the one form that `-m` and the memory backend read alike: they take a number
 * without a unit for different things.
 *
 * @throws {VsockboxError} USAGE.
 */
export function parseMemorySize(text: string): string {
  const size = text.toUpperCase();
  if (/^[1-9][0-9]{0,14}[KMGT]$/.test(size)) return size;
  throw new VsockboxError({
    code: "USAGE",
    operation: "read --memory",
    address: JSON.stringify(text),
    message: "it is no memory size",
    hint: "write a whole number and K, M, G or T, as in 512M",
  });
}
