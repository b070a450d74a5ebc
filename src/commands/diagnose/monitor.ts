/** `vsockbox monitor`: the packets of a vsock, live or from a capture. */
import { isBrokenPipe, requiredStandardInput, StandardOutput } from "../../io/stdio.ts";
import { fileChunks, packetsOf } from "../../monitor/capture-source.ts";
import { OP_NAMES, type OpName } from "../../monitor/packet-names.ts";
import { readCid } from "../../net/address.ts";
import { STATUS_BROKEN_PIPE } from "../../process/exit-status.ts";
import { MAX_SNAP_BYTES } from "../../protocols/pcap/file-format.ts";
import {
  DEFAULT_RECORD_PAYLOAD_BYTES,
  MAX_RECORD_PAYLOAD_BYTES,
  snapBytesFor,
} from "../../protocols/pcap/vsock-record.ts";
import { countOf } from "../../text/count.ts";
import { type ArgumentValues, flag, list, option } from "../../ui/argument.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { printJson, say } from "../../ui/report.ts";
import { usageError } from "../../ui/usage-error.ts";
import { choice, FILE, integer, type ValueKind } from "../../ui/value-kind.ts";
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

const CID: ValueKind<number> = {
  valueName: "CID",
  expected: "a CID such as 3, or host, local or hypervisor",
  parse: readCid,
  format: String,
};

const NO_LIMIT = Number.POSITIVE_INFINITY;
const [FIRST_OP, ...OTHER_OPS] = Object.keys(OP_NAMES) as [OpName, ...OpName[]];

const ARGUMENTS = {
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
  port: list(integer(0, 0xffff_ffff, "PORT"), {
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
  quiet: flag({ short: "q", summary: "Do not print the counts at the end" }),
  ...jsonArgument,
};

type Values = ArgumentValues<typeof ARGUMENTS>;

export const command = defineCommand({
  name: "monitor",
  group: "Diagnostics",
  summary: "Show the packets of a vsock, live or from a capture",
  args: ARGUMENTS,
  conflicts: { write: ["json", "payload"] },
  requires: { force: ["write"] },
  examples: [
    { command: "vsockbox monitor --read vm3.pcap", explanation: "A line a packet" },
    {
      command: "vsockbox monitor --read vm3.pcap --port 5000 --op rw --payload hex",
      explanation: "The bytes to and from one port",
    },
    {
      command: "vsockbox monitor --read vm3.pcap --cid 3 --write cid3.pcap",
      explanation: "Copy the packets of one CID to another capture",
    },
  ],
  async run(args) {
    const counts: MonitorCounts = { packets: 0, matched: 0 };
    const output = await outputOf(args);
    try {
      const { cid: cids, port: ports, op: ops, count: limit = NO_LIMIT } = args;
      await monitorPackets(
        recordsOf(args),
        output,
        { filter: { cids, ports, ops }, limit },
        counts,
      );
    } catch (thrown) {
      if (isBrokenPipe(thrown)) return STATUS_BROKEN_PIPE;
      throw thrown;
    } finally {
      output.close();
      report(args, counts);
    }
    return 0;
  },
});

function recordsOf({ read: path }: Values) {
  if (path === undefined) throw usageError(command, "--read is missing");
  return path === STREAM
    ? packetsOf(requiredStandardInput(), "standard input")
    : packetsOf(fileChunks(path), path);
}

function outputOf(args: Values): PacketOutput | Promise<PacketOutput> {
  const { write: path, captureBytes, force, json, payload } = args;
  const sink = new StandardOutput(1);
  if (path === undefined) {
    return json ? jsonOutput(sink, payload !== "none") : lineOutput(sink, payload);
  }
  const snapBytes = captureBytes === undefined ? MAX_SNAP_BYTES : snapBytesFor(captureBytes);
  return path === STREAM ? streamOutput(sink, snapBytes) : fileOutput(path, snapBytes, force);
}

/** Prints the counts. */
function report({ json, quiet }: Values, { packets, matched }: MonitorCounts): void {
  if (json) printJson({ summary: { packets, matched } });
  else if (!quiet) say(`vsockbox: ${countOf(packets, "packet")}, ${matched} matched`);
}
