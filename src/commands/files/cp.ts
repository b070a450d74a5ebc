/** `vsockbox cp`: copies files and trees between the host and guests, and from guest to guest. */
import { transferJson } from "../shared/json-shapes.ts";
import { commandLineError } from "../../errors.ts";
import { rawWords } from "../../process/raw-arguments.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { ProgressLine } from "../../ui/progress.ts";
import { print, printJson, say } from "../../ui/report.ts";
import { copyArguments, type CopyValues, withArchive } from "./copy-arguments.ts";
import { CopyJob, type CopyReport } from "./copy-job.ts";
import { askForPathTarget, checkTargets, type Operand, parseOperand } from "../shared/target.ts";
import { reportTransfer, withResumeHint } from "../shared/transfer-report.ts";
import { withRecursiveLetter } from "./recursive-letter.ts";
import { defineCommand } from "../../ui/command-definition.ts";

const COMMA = 0x2c;

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
    { command: "vsockbox cp -a 3:/etc 4:/backup", explanation: "From guest to guest" },
    { command: "vsockbox cp app.tar 3,4,web:/tmp/", explanation: "To several guests" },
    {
      command: "vsockbox cp -r --dry-run src web:/srv/app",
      explanation: "What would be copied, and where to",
    },
    {
      command: "tar c . | vsockbox cp - 3:/tmp/all.tar",
      explanation: "Standard input as a file; `vsockbox cp 3:/tmp/all.tar -` is the way back",
    },
  ],
  conflicts: { dryRun: ["resume", "checksum", "noClobber", "list"], list: ["json"] },
  complete: askForPathTarget,
  async run(given) {
    const args = withArchive(given);
    const words = args.paths;
    if (words.length < 2) {
      throw commandLineError(
        "cp",
        "the destination is missing",
        "vsockbox cp SRC... DST, as in `vsockbox cp app.tar 3:/tmp/`",
      );
    }
    const raw = rawWords(words);
    const destinations = await splitLast(raw);
    const sources = raw.slice(0, -1);
    checkTargets([...sources, ...destinations], true);
    const interrupt = new AbortController();
    let status: number | undefined;
    using _signals = onEndingSignal((signal) => {
      status ??= statusOfSignal(signal);
      interrupt.abort();
    });
    const operands = sources.map(parseOperand);
    if (destinations.length > 1 && operands.some(({ kind }) => kind === "stream")) {
      throw commandLineError("cp", "standard input can be copied to one guest only");
    }
    const copy = async (destination: Operand, target: string | undefined) => {
      try {
        return await copyTo([...operands, destination], args, interrupt.signal, target);
      } catch (thrown) {
        if (status === undefined) throw withResumeHint(thrown, args.resume);
        say("vsockbox: interrupted");
        return status;
      }
    };
    const [only = { kind: "stream" }, ...others] = destinations.map(parseOperand);
    if (others.length === 0) return await copy(only, undefined);
    const { inEachTarget } = await import("../shared/each-target.ts");
    const byTarget = new Map(
      [only, ...others].map((operand) => [
        operand.kind === "remote" ? operand.target : "",
        operand,
      ]),
    );
    // One after the other: each has the progress line for itself.
    let before: Promise<unknown> = Promise.resolve();
    const copyInTurn = (target: string) => {
      const own = before.then(() => copy(byTarget.get(target) ?? only, target));
      before = own.catch(() => undefined);
      return own;
    };
    return await inEachTarget([...byTarget.keys()], copyInTurn, { json: args.json });
  },
});

/**
 * Copies to one destination; returns the exit status.
 *
 * @param target the destination's target if there are several; it is named in reports then.
 */
async function copyTo(
  operands: readonly Operand[],
  args: CopyValues,
  signal: AbortSignal,
  target: string | undefined,
): Promise<number> {
  // Typed input has its own line.
  const isTyped = operands[0]?.kind === "stream" && process.stdin.isTTY;
  const isQuiet = args.quiet || args.json || args.dryRun;
  using progress = new ProgressLine(!isQuiet && !args.list && !isTyped);
  const begin = performance.now();
  await using job = new CopyJob(args, progress, signal, await reportOf(args));
  const { summary, status: firstStatus } = await job.run(operands);
  progress[Symbol.dispose]();
  const seconds = (performance.now() - begin) / 1000;
  if (args.json && !args.dryRun) {
    const named = target === undefined ? {} : { target };
    printJson({ ...named, ...transferJson(summary, seconds) });
  }
  // A file that was written to standard output is not counted as a copy.
  const isUncounted = isQuiet || operands.at(-1)?.kind === "stream";
  // The errors of files are printed whatever the status.
  const ownStatus = reportTransfer(summary, seconds, isUncounted);
  return firstStatus || ownStatus;
}

/** Returns the destinations of the last word, which may have several targets with commas between. */
async function splitLast(words: readonly Uint8Array[]): Promise<Uint8Array[]> {
  const last = words.at(-1) ?? Buffer.alloc(0);
  if (!last.includes(COMMA)) return [last];
  const { splitDestination } = await import("./copy-destinations.ts");
  return splitDestination(last);
}

async function reportOf({ list, dryRun, json }: CopyValues): Promise<CopyReport> {
  if (!list && !dryRun) return { isDryRun: false, onFile: undefined };
  const { copiedJson, copiedLine } = await import("./copy-listing.ts");
  return {
    isDryRun: dryRun,
    onFile: (file) => (json ? printJson(copiedJson(file)) : print(copiedLine(file))),
  };
}
