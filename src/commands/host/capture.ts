/** `vsockbox hybrid-proxy capture`: switches the capture of a VM on and off while it runs. */
import { resolve } from "node:path";
import {
  DEFAULT_RECORD_PAYLOAD_BYTES,
  MAX_RECORD_PAYLOAD_BYTES,
} from "../../protocols/pcap/vsock-record.ts";
import { print, printJson } from "../../ui/report.ts";
import { formatBytes } from "../../text/units.ts";
import {
  requestCapture,
  requestCaptureEnd,
  findControl,
} from "../../device/observe/control-client.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { flag, option, operand, type ArgumentValues } from "../../ui/argument.ts";
import { word, FILE, integer } from "../../ui/value-kind.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { usageError } from "../../ui/usage-error.ts";
import { countOf } from "../../text/count.ts";

const ARGUMENTS = {
  path: operand(word("PATH"), { summary: "The VM's --socket, --uds-path or control socket" }),
  file: operand(FILE, {
    optional: true,
    summary: "The file to create; the process that serves the VM writes it",
  }),
  off: flag({ summary: "Stop the capture" }),
  captureBytes: option(integer(0, MAX_RECORD_PAYLOAD_BYTES, "BYTES"), {
    defaultText: `${DEFAULT_RECORD_PAYLOAD_BYTES}; whole packets: ${MAX_RECORD_PAYLOAD_BYTES}`,
    summary: "Bytes of each packet's payload to keep",
  }),
  force: flag({ short: "f", summary: "Replace a file that exists" }),
  ...jsonArgument,
};

type Values = ArgumentValues<typeof ARGUMENTS>;

export const command = defineCommand({
  name: "hybrid-proxy capture",
  group: "Host devices",
  summary: "Start or stop writing a VM's packets to a pcap file",
  args: ARGUMENTS,
  conflicts: { off: ["file", "captureBytes", "force"] },
  examples: [
    {
      command: "vsockbox hybrid-proxy capture $XDG_RUNTIME_DIR/vm3.vsock vm3.pcap",
      explanation: "Every packet of the VM, with the first bytes of its payload",
    },
    {
      command: "vsockbox hybrid-proxy capture $XDG_RUNTIME_DIR/vm3.vsock --off",
      explanation: "Stop: the file is complete then",
    },
    {
      command:
        "vsockbox hybrid-proxy capture $XDG_RUNTIME_DIR/vhost3.socket $XDG_RUNTIME_DIR/live.pcap && tail -c +1 -f $XDG_RUNTIME_DIR/live.pcap | wireshark -k -i -",
      explanation: "Watch it live",
    },
  ],
  async run(args) {
    const request = requestOf(args);
    const control = await findControl(args.path);
    if (request !== undefined) {
      const facts = await requestCapture(control, request);
      if (args.json) printJson(facts);
      else print(`capturing to ${facts.file}`);
      return 0;
    }
    const facts = await requestCaptureEnd(control);
    if (args.json) printJson(facts);
    else if (facts === null) print("nothing was captured");
    else {
      const lost = facts.packets_lost === 0 ? "" : `, ${facts.packets_lost} lost`;
      const { packets, bytes, file } = facts;
      print(`captured ${countOf(packets, "packet")}, ${formatBytes(bytes)}, to ${file}${lost}`);
    }
    return 0;
  },
});

/** Returns the request that starts a capture; undefined for the end of one. */
function requestOf({ file, captureBytes, force, off }: Values) {
  if (off) return undefined;
  if (file === undefined) {
    throw usageError(
      command,
      "FILE is missing",
      "write PATH and FILE to begin, or PATH and --off to end",
    );
  }
  return { file: resolve(file), payload_bytes: captureBytes, force };
}
