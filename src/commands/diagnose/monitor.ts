/** `vsockbox monitor`: the packets of a vsock, live or from a capture. */
import { statSync } from "node:fs";
import { VsockboxError } from "../../errors.ts";
import { resolveAddress } from "../../config/profiles.ts";
import { findControl } from "../../device/observe/control-client.ts";
import { openPackets } from "../../device/observe/packet-client.ts";
import { isBrokenPipe, requiredStandardInput, StandardOutput } from "../../io/stdio.ts";
import { captureSource, fileChunks } from "../../monitor/capture-source.ts";
import { DEFAULT_RING_BYTES, KernelSource } from "../../monitor/kernel-source.ts";
import { OP_NAMES, type OpName } from "../../monitor/packet-names.ts";
import type { PacketSource } from "../../monitor/packet-source.ts";
import { STATUS_BROKEN_PIPE } from "../../process/exit-status.ts";
import { onEndingSignal, TERMINAL_ENDING_SIGNALS } from "../../process/signals.ts";
import { MAX_SNAP_BYTES } from "../../protocols/pcap/file-format.ts";
import {
  DEFAULT_RECORD_PAYLOAD_BYTES,
  MAX_RECORD_PAYLOAD_BYTES,
  snapBytesFor,
} from "../../protocols/pcap/vsock-record.ts";
import { countOf } from "../../text/count.ts";
import { type ArgumentValues, flag, list, operand, option } from "../../ui/argument.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { printJson, say } from "../../ui/report.ts";
import { usageError } from "../../ui/usage-error.ts";
import { choice, FILE, integer, sizeBetween, word } from "../../ui/value-kind.ts";
import { CID, PORT } from "../shared/address-kind.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import {
  fileOutput,
  jsonOutput,
  lineOutput,
  type PacketOutput,
  streamOutput,
} from "./monitor-output.ts";
import { type MonitorCounts, monitorPackets } from "./monitor-run.ts";

/** The heading of options that choose packets. */
const FILTERS = "Filters";

/** The heading of options about captures. */
const CAPTURES = "Captures";

/** The name of standard input and output. */
const STREAM = "-";

/** After a signal, an output that does not accept more is waited for so long, in milliseconds. */
const LAST_WRITE_MS = 1000;

const MIB = 1024 * 1024;

const NO_LIMIT = Number.POSITIVE_INFINITY;
const [FIRST_OP, ...OTHER_OPS] = Object.keys(OP_NAMES) as [OpName, ...OpName[]];

const ARGUMENTS = {
  source: operand(word("SOURCE"), {
    optional: true,
    defaultText: "this kernel's vsock",
    summary:
      "A VM of hybrid-proxy: hybrid:PATH, a profile with such an address, or the path of its --socket, --uds-path or control socket",
  }),
  buffer: option(sizeBetween(MIB, 1024 * MIB), {
    default: DEFAULT_RING_BYTES,
    summary: "Memory for packets of the kernel that wait to be read; further ones are lost",
  }),
  read: option(FILE, {
    heading: CAPTURES,
    summary: "Read packets from this pcap file; -: from standard input",
  }),
  write: option(FILE, {
    short: "o",
    heading: CAPTURES,
    summary: "Write the packets to this new pcap file and print none; -: to standard output",
  }),
  captureBytes: option(integer(0, MAX_RECORD_PAYLOAD_BYTES, "BYTES"), {
    heading: CAPTURES,
    defaultText: `${DEFAULT_RECORD_PAYLOAD_BYTES}; whole packets: ${MAX_RECORD_PAYLOAD_BYTES}; of a capture: all it has`,
    summary: "Bytes of each packet's payload to keep",
  }),
  force: flag({ short: "f", heading: CAPTURES, summary: "Replace a file that exists" }),
  cid: list(CID, {
    heading: FILTERS,
    summary: "Only packets from or to this CID, or one of several",
  }),
  port: list(PORT, {
    heading: FILTERS,
    summary: "Only packets from or to this port, or one of several",
  }),
  op: list(choice([FIRST_OP, ...OTHER_OPS]), {
    heading: FILTERS,
    valueName: "OP",
    summary: `Only packets of this operation, or one of several: ${Object.keys(OP_NAMES).join(", ")}`,
  }),
  count: option(integer(1), { heading: FILTERS, summary: "End after so many packets" }),
  payload: option(choice(["none", "text", "hex"]), {
    default: "none",
    summary: "Print the beginning of the payload, as text or as a dump",
  }),
  quiet: flag({ short: "q", summary: "Do not print the link and the counts" }),
  ...jsonArgument,
};

type Values = ArgumentValues<typeof ARGUMENTS>;

export const command = defineCommand({
  name: "monitor",
  group: "Diagnostics",
  summary: "Show the packets of a vsock, live or from a capture",
  args: ARGUMENTS,
  conflicts: { write: ["json", "payload"], read: ["source", "buffer"], source: ["buffer"] },
  requires: { force: ["write"] },
  examples: [
    { command: "vsockbox monitor --port 5000", explanation: "The agent's packets, as they pass" },
    {
      command: "vsockbox monitor --cid 3 --write vm3.pcap",
      explanation: "Write the packets of one VM to a file, until Ctrl-C",
    },
    {
      command: "vsockbox monitor hybrid:$XDG_RUNTIME_DIR/vm4.vsock --payload text",
      explanation: "The packets of a VM of hybrid-proxy",
    },
    {
      command: "vsockbox monitor --read vm3.pcap --op rw --payload hex",
      explanation: "The bytes in a capture",
    },
    {
      command: "vsockbox monitor --write - | wireshark -k -i -",
      explanation: "Watch live in Wireshark",
    },
  ],
  async run(args) {
    const counts: MonitorCounts = { packets: 0, matched: 0 };
    const givenUp = Promise.withResolvers<void>();
    let source: PacketSource | undefined;
    using _signals = onEndingSignal(() => {
      source?.stop();
      setTimeout(givenUp.resolve, LAST_WRITE_MS);
    }, TERMINAL_ENDING_SIGNALS);
    let output: PacketOutput | undefined;
    try {
      // First: if the source cannot be read, no file is made or replaced.
      source = await openSource(args);
      output = await outputOf(args, source);
      const { cid: cids, port: ports, op: ops, count: limit = NO_LIMIT } = args;
      const filter = { cids, ports, ops };
      await monitorPackets({ source, output, filter, limit, givenUp: givenUp.promise }, counts);
      source.stop();
      report(args, counts, await source.lost());
    } catch (thrown) {
      if (isBrokenPipe(thrown)) return STATUS_BROKEN_PIPE;
      throw thrown;
    } finally {
      source?.close();
      output?.close();
    }
    return 0;
  },
});

async function openSource(args: Values): Promise<PacketSource> {
  const { source: name, read: path, buffer: bufferBytes, quiet } = args;
  if (path !== undefined) {
    const capture =
      path === STREAM
        ? captureSource(requiredStandardInput(), "standard input")
        : captureSource(fileChunks(path), path);
    await capture.begin();
    return capture;
  }
  const payloadBytes = payloadBytesOf(args);
  if (name === undefined) {
    const source = new KernelSource({ snapBytes: snapBytesFor(payloadBytes), bufferBytes });
    if (!quiet) say(`vsockbox: capturing from ${source.name}; Ctrl-C ends it`);
    return source;
  }
  const control = await findControl(devicePath(name));
  const source = await openPackets(control, payloadBytes);
  if (!quiet) say(`vsockbox: capturing from ${control}; Ctrl-C ends it`);
  return source;
}

/**
 * Returns the path in a source.
 *
 * @throws {VsockboxError} USAGE for an address without a path; CONFIG for a name that no profile has.
 */
function devicePath(source: string): string {
  if (/^[./]/.test(source)) return source;
  const address = resolveAddress(source);
  if (address.kind === "hybrid" || address.kind === "unix") return address.path;
  throw usageError(
    command,
    `${source} is not a VM of hybrid-proxy`,
    "without SOURCE it shows this kernel's vsock; --cid chooses a VM",
  );
}

/** Bytes of payload to capture: none if they are not shown. */
function payloadBytesOf({ captureBytes, write, payload }: Values): number {
  if (captureBytes !== undefined) return captureBytes;
  return write === undefined && payload === "none" ? 0 : DEFAULT_RECORD_PAYLOAD_BYTES;
}

function outputOf(args: Values, source: PacketSource): PacketOutput | Promise<PacketOutput> {
  const { read, write: path, captureBytes, force, json, payload } = args;
  const sink = new StandardOutput(1);
  if (path === undefined) {
    return json ? jsonOutput(sink, payload !== "none") : lineOutput(sink, payload);
  }
  const isWhole = read !== undefined && captureBytes === undefined;
  const snapBytes = isWhole ? MAX_SNAP_BYTES : snapBytesFor(payloadBytesOf(args));
  const format = { snapBytes, unit: source.unit };
  if (path === STREAM) return streamOutput(sink, format);
  if (read !== undefined && read !== STREAM && isSameFile(read, path)) {
    throw new VsockboxError({
      code: "CANNOT_CREATE",
      operation: "capture to",
      address: path,
      message: "it is the capture that is read",
      hint: "write to another file, then rename it",
    });
  }
  return fileOutput(path, format, force);
}

function isSameFile(one: string, other: string): boolean {
  const [a, b] = [one, other].map((path) => statSync(path, { throwIfNoEntry: false }));
  return a !== undefined && b !== undefined && a.dev === b.dev && a.ino === b.ino;
}

/** Prints the counts. */
function report({ json, quiet }: Values, counts: MonitorCounts, lost: number): void {
  const { packets, matched } = counts;
  if (json) printJson({ summary: { packets, matched, packets_lost: lost } });
  else if (!quiet) say(`vsockbox: ${countOf(packets, "packet")}, ${matched} matched, ${lost} lost`);
}
