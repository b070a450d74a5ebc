/** `vsockbox hybrid-proxy capture`: switches the capture of a VM on and off while it runs. */
import { resolve } from "node:path";
import { VsockboxError } from "../../errors.ts";
import {
  DEFAULT_RECORD_PAYLOAD_BYTES,
  MAX_RECORD_PAYLOAD_BYTES,
} from "../../protocols/pcap/vsock-record.ts";
import { parseInteger } from "../../text/quantities.ts";
import type { Arguments, Command } from "../../ui/command.ts";
import { print, printJson } from "../../ui/report.ts";
import { formatBytes } from "../../text/units.ts";
import { askCapture, askCaptureEnd, findControl } from "../../device/observe/control-client.ts";
import { jsonArgument } from "../shared/connect-options.ts";

export const command: Command = {
  name: "hybrid-proxy capture",
  description: "Write a VM's packets to a pcap file, from now on",
  args: {
    path: {
      type: "positional",
      description: "The VM's --socket, --uds-path or control socket",
    },
    file: {
      type: "positional",
      required: false,
      description: "The file to be made; the process that serves the VM writes it",
    },
    off: { type: "boolean", description: "End the capture" },
    "capture-bytes": {
      type: "string",
      valueHint: "COUNT",
      description: `Bytes of each packet's payload that are kept (default ${DEFAULT_RECORD_PAYLOAD_BYTES}, whole packets ${MAX_RECORD_PAYLOAD_BYTES})`,
    },
    force: { type: "boolean", description: "Replace a file that exists" },
    ...jsonArgument,
  },
  examples: [
    {
      command: "vsockbox hybrid-proxy capture $XDG_RUNTIME_DIR/vm3.vsock vm3.pcap",
      explanation: "Every packet of the VM, with the first bytes of its payload",
    },
    {
      command: "vsockbox hybrid-proxy capture $XDG_RUNTIME_DIR/vm3.vsock --off",
      explanation: "The end of it: the file is whole now",
    },
    {
      command:
        "vsockbox hybrid-proxy capture $XDG_RUNTIME_DIR/vhost3.socket $XDG_RUNTIME_DIR/live.pcap && tail -c +1 -f $XDG_RUNTIME_DIR/live.pcap | wireshark -k -i -",
      explanation: "Watch it live",
    },
  ],
  async run(args) {
    const request = requestOf(args);
    const control = await findControl(args.required("path"));
    if (request !== undefined) {
      const facts = await askCapture(control, request);
      if (args.flag("json")) printJson(facts);
      else print(`capturing to ${facts.file}`);
      return 0;
    }
    const facts = await askCaptureEnd(control);
    if (args.flag("json")) printJson(facts);
    else if (facts === null) print("nothing was captured");
    else {
      const lost = facts.packets_lost === 0 ? "" : `, ${facts.packets_lost} lost`;
      const { packets, bytes, file } = facts;
      print(`captured ${packets} packets, ${formatBytes(bytes)}, to ${file}${lost}`);
    }
    return 0;
  },
};

/** What to ask for; undefined for the end of a capture. */
function requestOf(args: Arguments) {
  const file = args.string("file");
  const bytes = args.string("capture-bytes");
  const force = args.flag("force");
  if (args.flag("off")) {
    if (file !== undefined || bytes !== undefined || force) throw usage("--off stands alone");
    return undefined;
  }
  if (file === undefined || file === "") throw usage("FILE is missing");
  const payloadBytes =
    bytes === undefined
      ? undefined
      : parseInteger(bytes, "capture-bytes", 0, MAX_RECORD_PAYLOAD_BYTES);
  return { file: resolve(file), payload_bytes: payloadBytes, force };
}

function usage(message: string): VsockboxError {
  return new VsockboxError({
    code: "USAGE",
    operation: "hybrid-proxy capture",
    message,
    hint: "write PATH and FILE to begin, or PATH and --off to end",
  });
}
