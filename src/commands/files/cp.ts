/** `vsockbox cp`: files and trees between this machine and guests, and from guest to guest. */
import type { TransferSummary } from "../../agent/transfer/transfer.ts";
import { VsockboxError } from "../../errors.ts";
import { rawWords } from "../../process/raw-arguments.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import type { Command } from "../../ui/command.ts";
import { ProgressLine } from "../../ui/progress.ts";
import { printJson, say } from "../../ui/report.ts";
import { jsonArgument, receiveArguments } from "../shared/connect-options.ts";
import { CopyJob } from "./copy-job.ts";
import { agentArguments, parseOperand } from "../shared/target.ts";
import { reportTransfer, withResumeHint } from "../shared/transfer-report.ts";

export const command: Command = {
  name: "cp",
  description: "Copy files and trees to a guest, from a guest, or from guest to guest",
  args: {
    paths: {
      type: "positional",
      required: true,
      repeatable: true,
      description: "SRC… DST; TARGET:PATH on either side, `-` for standard input or output",
    },
    recursive: { type: "boolean", alias: "r", description: "Copy directories with all in them" },
    preserve: {
      type: "boolean",
      alias: "p",
      description: "Keep modes, times and, of files sent to a guest by root, owners",
    },
    ...receiveArguments,
    resume: {
      type: "boolean",
      description: "Go on where an earlier copy stopped; pass over what is the same already",
    },
    checksum: { type: "boolean", description: "Compare a sha256 of every file" },
    "no-clobber": {
      type: "boolean",
      alias: "n",
      description: "Leave files alone that are there already",
    },
    quiet: { type: "boolean", alias: "q", description: "No progress line and no summary" },
    ...agentArguments,
    ...jsonArgument,
  },
  examples: [
    {
      command: "vsockbox cp app.tar 3:/tmp/",
      explanation: "Into a directory of the VM with CID 3",
    },
    { command: "vsockbox cp 3:/var/log/syslog .", explanation: "Out of it" },
    { command: "vsockbox cp -r src web:/srv/app", explanation: "A tree, to the profile web" },
    {
      command: "vsockbox cp '3:/var/log/*.log' logs/",
      explanation: "The guest expands the pattern; quote it from your own shell",
    },
    {
      command: "vsockbox cp --resume disk.img hybrid:/run/vm4.vsock:/data/",
      explanation: "Goes on where a broken copy stopped",
    },
    { command: "vsockbox cp -rp 3:/etc 4:/backup", explanation: "From guest to guest" },
    {
      command: "tar c . | vsockbox cp - 3:/tmp/all.tar",
      explanation: "Standard input as a file; `vsockbox cp 3:/tmp/all.tar -` is the way back",
    },
  ],
  async run(args) {
    const words = args.list("paths");
    if (words.length < 2) {
      throw new VsockboxError({
        code: "USAGE",
        operation: "cp",
        message: "the destination is missing",
        hint: "vsockbox cp SRC… DST, as in `vsockbox cp app.tar 3:/tmp/`",
      });
    }
    const operands = rawWords(words).map(parseOperand);
    const interrupt = new AbortController();
    let status: number | undefined;
    using _signals = onEndingSignal((signal) => {
      status ??= statusOfSignal(signal);
      interrupt.abort();
    });
    // What is being typed has its own line.
    const isTyped = operands[0]?.kind === "stream" && process.stdin.isTTY;
    const isQuiet = args.flag("quiet") || args.flag("json");
    using progress = new ProgressLine(!isQuiet && !isTyped);
    const begin = performance.now();
    await using job = new CopyJob(args, progress, interrupt.signal);
    let summary: TransferSummary;
    let firstStatus: number;
    try {
      ({ summary, status: firstStatus } = await job.run(operands));
    } catch (thrown) {
      if (status !== undefined) {
        progress[Symbol.dispose]();
        say("vsockbox: interrupted");
        return status;
      }
      throw withResumeHint(thrown, args.flag("resume"));
    }
    progress[Symbol.dispose]();
    const seconds = (performance.now() - begin) / 1000;
    if (args.flag("json"))
      printJson({ ...summary.toJSON(), duration_ms: Math.round(seconds * 1000) });
    // A file that went to standard output is no copy to be counted.
    const ownStatus = reportTransfer(
      summary,
      seconds,
      isQuiet || operands.at(-1)?.kind === "stream",
    );
    return firstStatus || ownStatus;
  },
};
