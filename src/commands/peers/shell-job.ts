/** Doing what shell-client was asked for: a shell, a command, a transfer. */
import { transferJson } from "../shared/json-shapes.ts";
import type { TransferSummary } from "../../agent/transfer/transfer.ts";
import { commandLineError, EXIT_STATUS, VsockboxError } from "../../errors.ts";
import { baseName, showPath } from "../../files/bytes-path.ts";
import { formatAddress, type SocketAddress } from "../../net/address.ts";
import { hasTerminal } from "../../process/has-terminal.ts";
import { terminalSize } from "../../process/raw-terminal.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { ProgressLine } from "../../ui/progress.ts";
import { printJson, say } from "../../ui/report.ts";
import { dialShell } from "../../vsock-shell/dial-shell.ts";
import { checkDownload, download } from "../../vsock-shell/download.ts";
import { RemoteShell } from "../../vsock-shell/remote-shell.ts";
import type { TransferRequest } from "../../vsock-shell/transfer-request.ts";
import { checkUpload, upload } from "../../vsock-shell/upload.ts";
import { dialOptions } from "../shared/connect-options.ts";
import type { ShellClientValues } from "./shell-client-arguments.ts";
import { runPiped } from "./shell-pipe.ts";
import type { Transfer } from "./shell-transfer.ts";
import { reportTransfer, withResumeHint } from "../shared/transfer-report.ts";
import { assertTerminal, joinTerminal } from "../shared/remote-terminal.ts";

/** A job, and its server. */
export interface ShellJob {
  /** The server as the user named it. */
  name: string;
  address: SocketAddress;
  /** Undefined: a terminal. */
  transfer: Transfer | undefined;
  /** Undefined: a shell. */
  command: string | undefined;
}

/** Performs the job; returns the exit status. */
export function runShellJob(job: ShellJob, args: ShellClientValues): Promise<number> {
  if (args.verbose) say(`vsockbox: connecting to ${formatAddress(job.address)}`);
  return job.transfer === undefined
    ? runTerminalJob(job, args)
    : runTransferJob(job.transfer, job, args);
}

async function runTerminalJob(
  { name, address, command }: ShellJob,
  args: ShellClientValues,
): Promise<number> {
  const json = args.json;
  if (command === undefined) {
    if (json) throw jsonShell();
    assertTerminal();
  }
  const onTerminal = !json && (command === undefined || hasTerminal());
  const connection = await dialShell(address, dialOptions(args, name));
  const remote = new RemoteShell(connection);
  await remote.start({
    command,
    term: onTerminal ? process.env["TERM"] : undefined,
    size: onTerminal ? terminalSize() : undefined,
    plain: args.plain,
  });
  return onTerminal
    ? joinTerminal(remote, EXIT_STATUS.TRANSPORT, "connection closed")
    : runPiped(remote, json);
}

function jsonShell(): VsockboxError {
  return commandLineError("shell-client", "--json requires a command or a transfer");
}

async function runTransferJob(
  { direction, local, remote }: Transfer,
  { name, address }: ShellJob,
  args: ShellClientValues,
): Promise<number> {
  const interrupt = new AbortController();
  let status: number | undefined;
  using _signals = onEndingSignal((signal) => {
    status ??= statusOfSignal(signal);
    interrupt.abort();
  });
  const isQuiet = args.quiet || args.json;
  using progress = new ProgressLine(!isQuiet);
  const shown = showPath(baseName(local));
  const request: TransferRequest = {
    local,
    remote,
    overwrite: args.force,
    recursive: args.recursive,
    preserve: args.preserve || args.preserveOwner,
    preserveOwner: args.preserveOwner,
    maxBytes: args.maxSize,
    resume: args.resume,
    checksum: args.checksum,
    plain: args.plain,
    signal: interrupt.signal,
    onProgress: (done) => progress.update(shown, done),
    onSize: (bytes) => {
      progress.totalBytes = bytes;
    },
  };
  const begin = performance.now();
  let summary: TransferSummary;
  try {
    if (direction === "upload") {
      const source = checkUpload(request);
      progress.totalBytes = source.isFile() ? source.size : undefined;
      const connection = await dialShell(address, dialOptions(args, name, interrupt.signal));
      summary = await upload(connection, request);
    } else {
      checkDownload(request);
      const connection = await dialShell(address, dialOptions(args, name, interrupt.signal));
      summary = await download(connection, request);
    }
  } catch (thrown) {
    progress[Symbol.dispose]();
    if (status === undefined) throw withResumeHint(thrown, request.resume);
    say("vsockbox: interrupted");
    return status;
  }
  progress[Symbol.dispose]();
  const seconds = (performance.now() - begin) / 1000;
  if (args.json) {
    printJson(transferJson(summary, seconds));
  }
  return reportTransfer(summary, seconds, isQuiet);
}
