/** The options of `vsockbox cp`. */
import { type ArgumentValues, flag, operands } from "../../ui/argument.ts";
import { word } from "../../ui/value-kind.ts";
import { jsonArgument, receiveArguments } from "../shared/connect-options.ts";
import { agentArguments } from "../shared/target.ts";

/** The arguments of `vsockbox cp`. */
export const copyArguments = {
  paths: operands(word("PATH"), {
    valueName: "SRC... DST",
    summary:
      "Paths here, or TARGET:PATH in a guest; the last is the destination; `-` is standard input or output",
  }),
  recursive: flag({ short: "r", summary: "Copy directories with their contents" }),
  preserve: flag({
    short: "p",
    summary: "Keep modes, times and, of files that root sends to a guest, owners",
  }),
  archive: flag({
    short: "a",
    summary: "Copy directories and keep all that --preserve keeps, as --recursive --preserve",
  }),
  ...receiveArguments,
  resume: flag({
    summary: "Continue an interrupted copy, and skip files that are the same already",
  }),
  checksum: flag({ summary: "Compare a SHA-256 of every file" }),
  noClobber: flag({ summary: "Do not replace files that exist" }),
  list: flag({ summary: "Print each file that was copied, and its destination" }),
  dryRun: flag({ summary: "Print what would be copied, and copy nothing" }),
  quiet: flag({ short: "q", summary: "Print no progress line and no summary" }),
  ...agentArguments,
  ...jsonArgument,
};

/** The values of {@link copyArguments}. */
export type CopyValues = ArgumentValues<typeof copyArguments>;

/** Returns the values with the options that `--archive` stands for. */
export function withArchive(args: CopyValues): CopyValues {
  if (!args.archive) return args;
  return { ...args, recursive: true, preserve: true };
}
