/** `vsockbox connect`: standard input and output joined to a connection. */
import { resolveAddress } from "../../config/profiles.ts";
import { VsockboxError } from "../../errors.ts";
import { sendDescriptor } from "../../ffi/scm-rights.ts";
import { closeDescriptor } from "../../ffi/socket.ts";
import type { SocketAddress } from "../../net/address.ts";
import { dial, dialDescriptor } from "../../net/dial.ts";
import { joinStandardStreams } from "./standard-streams.ts";
import { isBrokenPipe, standardInput, StandardOutput } from "../../io/stdio.ts";
import { STATUS_BROKEN_PIPE } from "../../process/exit-status.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { parseInteger } from "../../text/quantities.ts";
import type { Command } from "../../ui/command.ts";
import { dialArguments, dialOptions } from "../shared/connect-options.ts";

export const command: Command = {
  name: "connect",
  description: "Connect standard input and output to an address, like nc or socat",
  args: {
    address: { type: "positional", required: true, description: "Where to connect" },
    port: {
      type: "positional",
      required: false,
      description: "The port, where the address has none (as ssh's %h %p give it)",
    },
    seqpacket: {
      type: "boolean",
      description: "SOCK_SEQPACKET: each chunk of input is one packet",
    },
    fdpass: {
      type: "boolean",
      description: "Hand the connected descriptor over standard output (ssh ProxyUseFdpass)",
    },
    "no-stdin": { type: "boolean", alias: "n", description: "Send nothing; only read" },
    ...dialArguments,
  },
  examples: [
    { command: "vsockbox connect 3:5000", explanation: "Talk to port 5000 of the VM with CID 3" },
    {
      command: "tar c dir | vsockbox connect 2:9000",
      explanation: "From a guest to the host; the end of input is handed on as a half-close",
    },
    {
      command: "vsockbox connect hybrid:/run/vm4.vsock:5000",
      explanation: "Through the Unix socket of Firecracker, Cloud Hypervisor or hybrid-proxy",
    },
    {
      command: "ssh -o ProxyCommand='vsockbox connect %h %p' user@vsock%3",
      explanation: "As ssh's ProxyCommand; vsock-mux/run/vm4.vsock and unix/run/ssh.sock work too",
    },
  ],
  async run(args) {
    const address = withPort(resolveAddress(args.required("address")), args.string("port"));
    const interrupt = new AbortController();
    let status: number | undefined;
    using _signals = onEndingSignal((signal) => {
      status = statusOfSignal(signal);
      interrupt.abort();
    });
    const options = {
      ...dialOptions(args, args.required("address"), interrupt.signal),
      seqpacket: args.flag("seqpacket"),
    };
    try {
      if (args.flag("fdpass")) return await passDescriptor(address, options);
      const stream = await dial(address, options);
      stream.abortOn(interrupt.signal);
      const stdin = args.flag("no-stdin") ? undefined : standardInput();
      await joinStandardStreams(stream, stdin, new StandardOutput(1));
      return 0;
    } catch (thrown) {
      if (status !== undefined) return status;
      if (isBrokenPipe(thrown)) return STATUS_BROKEN_PIPE;
      throw thrown;
    }
  },
};

async function passDescriptor(
  address: SocketAddress,
  options: Parameters<typeof dialDescriptor>[1],
): Promise<number> {
  const fd = await dialDescriptor(address, options);
  try {
    sendDescriptor(1, fd);
    return 0;
  } finally {
    closeDescriptor(fd);
  }
}

/** ssh always gives a port (22 by default); an address that has its own keeps it. */
function withPort(address: SocketAddress, port: string | undefined): SocketAddress {
  if (port === undefined || address.kind === "unix" || address.port !== undefined) {
    if (address.kind !== "unix" && address.port === undefined) {
      throw new VsockboxError({
        code: "USAGE",
        operation: "connect",
        message: "the port is missing",
        hint: "write it behind the address (3:5000) or as the second word (3 5000)",
      });
    }
    return address;
  }
  return { ...address, port: parseInteger(port, "port", 0, 0xffff_fffe) };
}
