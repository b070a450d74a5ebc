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
  ...receiveArguments,
  resume: flag({
    summary: "Continue an interrupted copy, and skip files that are the same already",
  }),
  checksum: flag({ summary: "Compare a SHA-256 of every file" }),
  noClobber: flag({ summary: "Do not replace files that exist" }),
  quiet: flag({ short: "q", summary: "Print no progress line and no summary" }),
  ...agentArguments,
  ...jsonArgument,
};

/** The values of {@link copyArguments}. */
export type CopyValues = ArgumentValues<typeof copyArguments>;
