/** `vsockbox connect`: standard input and output joined to a connection. */
import { VsockboxError } from "../../errors.ts";
import { sendDescriptor } from "../../ffi/scm-rights.ts";
import { closeDescriptor } from "../../ffi/socket.ts";
import { ANY, type SocketAddress } from "../../net/address.ts";
import { dial, dialDescriptor } from "../../net/dial.ts";
import { joinStandardStreams } from "./standard-streams.ts";
import { isBrokenPipe, standardInput, StandardOutput } from "../../io/stdio.ts";
import { STATUS_BROKEN_PIPE } from "../../process/exit-status.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { ADDRESS } from "../shared/address-kind.ts";
import { dialArguments, dialOptions } from "../shared/connect-options.ts";
import { flag, operand } from "../../ui/argument.ts";
import { integer } from "../../ui/value-kind.ts";
import { defineCommand } from "../../ui/command-definition.ts";

export const command = defineCommand({
  name: "connect",
  group: "Ports and bytes",
  summary: "Connect standard input and output to an address",
  args: {
    address: operand(ADDRESS, { summary: "Where to connect" }),
    port: operand(integer(0, ANY - 1, "PORT"), {
      optional: true,
      summary: "The port, if the address has none, as with ssh's %h %p",
    }),
    seqpacket: flag({ summary: "Open a SOCK_SEQPACKET socket: each chunk of input is one packet" }),
    fdpass: flag({
      summary: "Pass the connected descriptor over standard output, for ssh's ProxyUseFdpass",
    }),
    noStdin: flag({ short: "n", summary: "Do not read standard input" }),
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
    const address = withPort(args.address.address, args.port);
    const interrupt = new AbortController();
    let status: number | undefined;
    using _signals = onEndingSignal((signal) => {
      status = statusOfSignal(signal);
      interrupt.abort();
    });
    const options = {
      ...dialOptions(args, args.address.text, interrupt.signal),
      seqpacket: args.seqpacket,
      traffic: "bulk",
    } as const;
    try {
      if (args.fdpass) return await passDescriptor(address, options);
      const stream = await dial(address, options);
      stream.abortOn(interrupt.signal);
      const stdin = args.noStdin ? undefined : standardInput();
      await joinStandardStreams(stream, stdin, new StandardOutput(1));
      return 0;
    } catch (thrown) {
      if (status !== undefined) return status;
      if (isBrokenPipe(thrown)) return STATUS_BROKEN_PIPE;
      throw thrown;
    }
  },
});

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

/** ssh always passes a port (22 by default); an address with a port keeps it. */
function withPort(address: SocketAddress, port: number | undefined): SocketAddress {
  if (port === undefined || address.kind === "unix" || address.port !== undefined) {
    if (address.kind !== "unix" && address.port === undefined) {
      throw new VsockboxError({
        code: "USAGE",
        operation: "connect",
        message: "the port is missing",
        hint: "write it after the address (3:5000) or as the second word (3 5000)",
      });
    }
    return address;
  }
  return { ...address, port };
}
