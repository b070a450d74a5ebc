/** `vsockbox cp`: copies files and trees between the host and guests, and from guest to guest. */
import { transferJson } from "../shared/json-shapes.ts";
import type { TransferSummary } from "../../agent/transfer/transfer.ts";
import { commandLineError } from "../../errors.ts";
import { rawWords } from "../../process/raw-arguments.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { ProgressLine } from "../../ui/progress.ts";
import { printJson, say } from "../../ui/report.ts";
import { copyArguments } from "./copy-arguments.ts";
import { CopyJob } from "./copy-job.ts";
import { checkTargets, parseOperand } from "../shared/target.ts";
import { reportTransfer, withResumeHint } from "../shared/transfer-report.ts";
import { withRecursiveLetter } from "./recursive-letter.ts";
import { defineCommand } from "../../ui/command-definition.ts";

export const command = defineCommand({
  name: "cp",
  group: "Files",
  summary: "Copy files and directories to, from and between guests",
  args: copyArguments,
  rewrite: withRecursiveLetter,
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
      explanation: "Continue a broken copy",
    },
    { command: "vsockbox cp -rp 3:/etc 4:/backup", explanation: "From guest to guest" },
    {
      command: "tar c . | vsockbox cp - 3:/tmp/all.tar",
      explanation: "Standard input as a file; `vsockbox cp 3:/tmp/all.tar -` is the way back",
    },
  ],
  async run(args) {
    const words = args.paths;
    if (words.length < 2) {
      throw commandLineError(
        "cp",
        "the destination is missing",
        "vsockbox cp SRC... DST, as in `vsockbox cp app.tar 3:/tmp/`",
      );
    }
    const raw = rawWords(words);
    checkTargets(raw, true);
    const operands = raw.map(parseOperand);
    const interrupt = new AbortController();
    let status: number | undefined;
    using _signals = onEndingSignal((signal) => {
      status ??= statusOfSignal(signal);
      interrupt.abort();
    });
    // Typed input has its own line.
    const isTyped = operands[0]?.kind === "stream" && process.stdin.isTTY;
    const isQuiet = args.quiet || args.json;
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
      throw withResumeHint(thrown, args.resume);
    }
    progress[Symbol.dispose]();
    const seconds = (performance.now() - begin) / 1000;
    if (args.json) printJson(transferJson(summary, seconds));
    // A file that was written to standard output is not counted as a copy.
    const ownStatus = reportTransfer(
      summary,
      seconds,
      isQuiet || operands.at(-1)?.kind === "stream",
    );
    return firstStatus || ownStatus;
  },
});
