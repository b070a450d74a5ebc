/** Names of the numbers in vsock packets: those of virtio 1.2, section 5.10.6, in lower case. */
import { MonitorOp } from "../protocols/pcap/vsockmon.ts";
import {
  Op,
  opOf,
  PacketType,
  RecordFlag,
  ShutdownFlag,
} from "../protocols/virtio-vsock/packet.ts";

/** Operations by their names. */
export const OP_NAMES = {
  request: Op.Request,
  response: Op.Response,
  rst: Op.Rst,
  shutdown: Op.Shutdown,
  rw: Op.Rw,
  "credit-update": Op.CreditUpdate,
  "credit-request": Op.CreditRequest,
} as const;

/** The name of an operation. */
export type OpName = keyof typeof OP_NAMES;

const NAME_OF_OP = new Map<Op, OpName>(
  Object.entries(OP_NAMES).map(([name, op]) => [op, name as OpName]),
);

/** Returns the name of an operation; undefined for an unknown one. */
export function opName(op: number): OpName | undefined {
  return NAME_OF_OP.get(opOf(op));
}

const MONITOR_OPS: ReadonlyMap<number, string> = new Map([
  [MonitorOp.Connect, "connect"],
  [MonitorOp.Disconnect, "disconnect"],
  [MonitorOp.Control, "control"],
  [MonitorOp.Payload, "payload"],
]);

/** Returns the name of the kind of operation of vsockmon; `unknown` for any other number. */
export function monitorOpName(op: number): string {
  return MONITOR_OPS.get(op) ?? "unknown";
}

/** Returns the name of a socket's type; undefined for an unknown one. */
export function socketTypeName(type: number): "stream" | "seqpacket" | undefined {
  if (type === PacketType.Stream) return "stream";
  return type === PacketType.Seqpacket ? "seqpacket" : undefined;
}

const SHUTDOWN_FLAGS = [
  [ShutdownFlag.Receive, "receive"],
  [ShutdownFlag.Send, "send"],
] as const;

const RECORD_FLAGS = [
  [RecordFlag.EndOfMessage, "eom"],
  [RecordFlag.EndOfRecord, "eor"],
] as const;

/**
 * Returns the names of flags, which depend on the operation and the type: `receive` and `send` of
 * SHUTDOWN, `eom` and `eor` of RW on SOCK_SEQPACKET. Unnamed bits become one hexadecimal number.
 */
export function flagNames(op: number, type: number, flags: number): string[] {
  const named =
    op === Op.Shutdown
      ? SHUTDOWN_FLAGS
      : op === Op.Rw && type === PacketType.Seqpacket
        ? RECORD_FLAGS
        : [];
  const found = named.filter(([bit]) => (flags & bit) !== 0);
  const rest = found.reduce((bits, [bit]) => bits & ~bit, flags) >>> 0;
  const names: string[] = found.map(([, name]) => name);
  return rest === 0 ? names : [...names, `0x${rest.toString(16)}`];
}
