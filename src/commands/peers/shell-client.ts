/** `vsockbox shell-client`: the client of vsock-shell. */
import { resolveAddress } from "../../config/profiles.ts";
import { VsockboxError } from "../../errors.ts";
import type { SocketAddress } from "../../net/address.ts";
import { rawWords } from "../../process/raw-arguments.ts";
import { hasTerminal } from "../../process/raw-terminal.ts";
import type { Arguments, Command } from "../../ui/command.ts";
import { SHELL_PORT } from "../../vsock-shell/ports.ts";
import { dialArguments, jsonArgument, receiveArguments } from "../shared/connect-options.ts";
import { runShellJob, type ShellJob } from "./shell-job.ts";
import { portArgument, portOption } from "../shared/shell-port.ts";
import { readTransfer, type Transfer } from "./shell-transfer.ts";

export const command: Command = {
  name: "shell-client",
  description: "A shell, a command or files at a vsock-shell server, like vsock-shell-client",
  args: {
    target: {
      type: "positional",
      required: false,
      replacedBy: "cid",
      description:
        "The server: a CID or another address; without any, on a terminal, you are asked",
    },
    cid: {
      type: "string",
      alias: "c",
      valueHint: "CID",
      description: "The server, as the C code has it",
    },
    ...portArgument,
    cmd: {
      type: "string",
      alias: "x",
      valueHint: "COMMAND",
      description: "Run this command, as the C code has it",
    },
    upload: {
      type: "string",
      alias: "u",
      valueHint: "SRC:DST",
      description: "Send a file; without a colon it goes into --remote-dir",
    },
    download: {
      type: "string",
      alias: "d",
      valueHint: "SRC:DST",
      description: "Take a file; without a colon it goes into --local-dir",
    },
    to: {
      type: "string",
      valueHint: "DST",
      description: "Where it goes, for paths with a colon",
    },
    "remote-dir": {
      type: "string",
      alias: "r",
      valueHint: "DIR",
      default: "/tmp",
      description: "For -u FILE",
    },
    "local-dir": {
      type: "string",
      alias: "l",
      valueHint: "DIR",
      default: ".",
      description: "For -d FILE",
    },
    force: { type: "boolean", alias: "f", description: "Replace files that are there already" },
    recursive: { type: "boolean", alias: "R", description: "Directories with all in them" },
    preserve: {
      type: "boolean",
      description: "Keep modes, times and, of files sent to a server as root, owners",
    },
    ...receiveArguments,
    resume: { type: "boolean", description: "Go on where an earlier transfer stopped" },
    checksum: { type: "boolean", description: "Compare a sha256 of every file" },
    plain: { type: "boolean", description: "Send what the C client could send, and no more" },
    quiet: { type: "boolean", alias: "q", description: "No progress line and no summary" },
    verbose: { type: "boolean", alias: "v", description: "Say what is going on" },
    ...dialArguments,
    ...jsonArgument,
  },
  restName: "[COMMAND]",
  examples: [
    {
      command: "vsockbox shell-client 3",
      explanation: "A shell in the VM with CID 3; `~.` leaves it, `~?` helps",
    },
    {
      command: 'vsockbox shell-client 3 "ls -la /home"',
      explanation: "One command, with its exit status",
    },
    {
      command: "vsockbox shell-client 3 -u app.tar:/srv/app.tar",
      explanation: "Send a file; `-d /srv/app.tar:app.tar` takes one",
    },
    {
      command: "vsockbox shell-client 3 --resume --checksum -u disk.img:/data/disk.img",
      explanation: "Go on where a broken transfer stopped, and compare a sha256 at its end",
    },
    {
      command: "vsockbox shell-client hybrid:/run/vm4.vsock -R -u site --to /srv/site",
      explanation: "A directory, into a Firecracker or Cloud Hypervisor VM",
    },
    {
      command: "vsock-shell-client -c 3 -p 9999 -x 'uname -a'",
      explanation: "Under the C client's name, with its options and its port",
    },
    {
      command: "vsockbox shell-client",
      explanation: "On a terminal: choose the VM and what to do there",
    },
  ],
  async run(args) {
    const job = jobOf(args);
    if (job !== undefined) return runShellJob(job, args);
    if (!hasTerminal()) {
      throw usage("the server's CID is missing", "vsock-shell-client CID [COMMAND], or --cid CID");
    }
    const { askForJob } = await import("./shell-prompts.ts");
    const asked = await askForJob(portOption(args) ?? SHELL_PORT);
    return asked === undefined ? 130 : runShellJob(asked, args);
  },
};

/** What the command line asks for; undefined where it names no server. */
function jobOf(args: Arguments): ShellJob | undefined {
  const cid = args.string("cid");
  const first = args.string("target");
  const words = cid === undefined ? [...args.rest] : [first, ...args.rest].filter(isGiven);
  const name = cid ?? first;
  const transfer = transferOf(args);
  if (words.length > 0 && args.string("cmd") !== undefined) {
    throw usage("a command and --cmd exclude each other");
  }
  const remoteCommand = words.length > 0 ? words.join(" ") : args.string("cmd");
  if (name === undefined) {
    if (transfer !== undefined || remoteCommand !== undefined) {
      throw usage("the server's CID is missing", "write it first, or as --cid CID");
    }
    return undefined;
  }
  if (transfer !== undefined && remoteCommand !== undefined) {
    throw usage("a command and a transfer exclude each other");
  }
  const address = addressOf(name, portOption(args));
  return { name, address, transfer, command: remoteCommand };
}

function isGiven(word: string | undefined): word is string {
  return word !== undefined;
}

function addressOf(name: string, port: number | undefined): SocketAddress {
  const given = resolveAddress(name);
  const own = given.kind === "unix" ? undefined : given.port;
  if (port !== undefined && own !== undefined && own !== port) {
    throw usage(`--port ${port} and the ${own} of ${name} exclude each other`);
  }
  return resolveAddress(name, port ?? SHELL_PORT);
}

/** Paths need not be UTF-8, so they are taken from the command line as it is. */
function transferOf(args: Arguments): Transfer | undefined {
  const bytes = (name: string) => {
    const text = args.string(name);
    return text === undefined ? undefined : rawOption(text);
  };
  return readTransfer({
    upload: bytes("upload"),
    download: bytes("download"),
    to: bytes("to"),
    remoteDirectory: bytes("remote-dir") ?? Buffer.from("/tmp"),
    localDirectory: bytes("local-dir") ?? Buffer.from("."),
  });
}

function rawOption(text: string): Uint8Array {
  return rawWords([text])[0] ?? Buffer.from(text);
}

function usage(message: string, hint?: string): VsockboxError {
  return new VsockboxError({ code: "USAGE", operation: "shell-client", message, hint });
}
