/** The options of `vsockbox shell-client`; the letters are those of the C client. */
import { dialArguments, jsonArgument, receiveArguments } from "../shared/connect-options.ts";
import { portArgument } from "../shared/shell-port.ts";
import { flag, option, operand, commandLine, type ArgumentValues } from "../../ui/argument.ts";
import { word, DIRECTORY } from "../../ui/value-kind.ts";

/** The arguments of `vsockbox shell-client`. */
export const shellClientArguments = {
  target: operand(word("TARGET"), {
    optional: true,
    replacedBy: "cid",
    summary: "The server: a CID or another address; without any, a prompt on the terminal",
  }),
  cid: option(word("CID"), { short: "c", summary: "The server, as with the C client" }),
  ...portArgument,
  cmd: option(word("COMMAND"), {
    short: "x",
    summary: "Run this command, as with the C client",
  }),
  upload: option(word("SRC:DST"), {
    short: "u",
    summary: "Send a file; without a colon, to --remote-dir",
  }),
  download: option(word("SRC:DST"), {
    short: "d",
    summary: "Receive a file; without a colon, to --local-dir",
  }),
  to: option(word("DST"), { summary: "The destination, for paths with a colon" }),
  remoteDir: option(word("DIR"), {
    short: "r",
    default: "/tmp",
    summary: "The destination of -u FILE",
  }),
  localDir: option(DIRECTORY, {
    short: "l",
    default: ".",
    summary: "The destination of -d FILE",
  }),
  force: flag({ short: "f", summary: "Replace files that exist" }),
  recursive: flag({ short: "R", summary: "Copy directories with their contents" }),
  preserve: flag({
    summary: "Keep modes, times and, of files sent to a server that runs as root, owners",
  }),
  ...receiveArguments,
  resume: flag({ summary: "Continue an interrupted transfer" }),
  checksum: flag({ summary: "Compare a SHA-256 of every file" }),
  plain: flag({ summary: "Send only what the C client can send" }),
  quiet: flag({ short: "q", summary: "Print no progress line and no summary" }),
  ...dialArguments,
  ...jsonArgument,
  words: commandLine({ valueName: "[COMMAND [ARG...]]", summary: "Run this command" }),
};

/** The values of {@link shellClientArguments}. */
export type ShellClientValues = ArgumentValues<typeof shellClientArguments>;
