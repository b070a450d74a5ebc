/** `vsockbox shell-client`: the client of vsock-shell. */
import { resolveAddress } from "../../config/profiles.ts";
import { commandLineError, VsockboxError } from "../../errors.ts";
import type { SocketAddress } from "../../net/address.ts";
import { rawWords } from "../../process/raw-arguments.ts";
import { hasTerminal } from "../../process/has-terminal.ts";
import { SHELL_PORT } from "../../vsock-shell/ports.ts";
import { shellClientArguments, type ShellClientValues } from "./shell-client-arguments.ts";
import { runShellJob, type ShellJob } from "./shell-job.ts";
import { readTransfer, type Transfer } from "./shell-transfer.ts";
import { defineCommand } from "../../ui/command-definition.ts";

export const command = defineCommand({
  name: "shell-client",
  group: "Run commands",
  summary: "Run commands at a vsock-shell server, like its C client",
  args: shellClientArguments,
  conflicts: { words: ["upload", "download"], cmd: ["upload", "download"], upload: ["download"] },
  examples: [
    {
      command: "vsockbox shell-client 3",
      explanation: "A shell in the VM with CID 3; `~.` ends it, `~?` lists the escapes",
    },
    {
      command: 'vsockbox shell-client 3 "ls -la /home"',
      explanation: "One command, with its exit status",
    },
    {
      command: "vsockbox shell-client 3 -u app.tar:/srv/app.tar",
      explanation: "Send a file; `-d /srv/app.tar:app.tar` receives one",
    },
    {
      command: "vsockbox shell-client 3 --resume --checksum -u disk.img:/data/disk.img",
      explanation: "Continue a broken transfer, and compare a sha256 at its end",
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
    const asked = await askForJob(args.port ?? SHELL_PORT);
    return asked === undefined ? 130 : runShellJob(asked, args);
  },
});

/** The job of the command line; undefined if it names no server. */
function jobOf(args: ShellClientValues): ShellJob | undefined {
  const cid = args.cid;
  const first = args.target;
  const words = cid === undefined ? [...args.words] : [first, ...args.words].filter(isGiven);
  const name = cid ?? first;
  const transfer = transferOf(args);
  if (words.length > 0 && args.cmd !== undefined) {
    throw usage("COMMAND cannot be used with --cmd");
  }
  const remoteCommand = words.length > 0 ? words.join(" ") : args.cmd;
  if (name === undefined) {
    if (transfer !== undefined || remoteCommand !== undefined) {
      throw usage("the server's CID is missing", "write it first, or as --cid CID");
    }
    return undefined;
  }
  if (transfer !== undefined && remoteCommand !== undefined) {
    throw usage("a command cannot be used with a transfer");
  }
  const address = addressOf(name, args.port);
  return { name, address, transfer, command: remoteCommand };
}

function isGiven(word: string | undefined): word is string {
  return word !== undefined;
}

function addressOf(name: string, port: number | undefined): SocketAddress {
  const given = resolveAddress(name);
  const own = given.kind === "unix" ? undefined : given.port;
  if (port !== undefined && own !== undefined && own !== port) {
    throw usage(`--port ${port} cannot be used with ${name}, which has port ${own}`);
  }
  return resolveAddress(name, port ?? SHELL_PORT);
}

/** Paths need not be UTF-8, so they are read from the kernel's command line. */
function transferOf(args: ShellClientValues): Transfer | undefined {
  const bytes = (path: string | undefined) => (path === undefined ? undefined : rawOption(path));
  return readTransfer({
    upload: bytes(args.upload),
    download: bytes(args.download),
    to: bytes(args.to),
    remoteDirectory: rawOption(args.remoteDir),
    localDirectory: rawOption(args.localDir),
  });
}

function rawOption(text: string): Uint8Array {
  return rawWords([text])[0] ?? Buffer.from(text);
}

function usage(message: string, hint?: string): VsockboxError {
  return commandLineError("shell-client", message, hint);
}
