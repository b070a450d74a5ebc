/** The options of `vsockbox initramfs`. */
import { DEFAULT_INIT_CONFIG, EXIT_ACTIONS } from "../../initramfs/init-config.ts";
import { VSOCK_MODULES } from "../../initramfs/modules.ts";
import { COMPRESSIONS } from "../../initramfs/write.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { flag, option, list, commandLine, type ArgumentValues } from "../../ui/argument.ts";
import { word, FILE, DIRECTORY, choice } from "../../ui/value-kind.ts";

/** The arguments of `vsockbox initramfs`. */
export const initramfsArguments = {
  output: option(FILE, {
    short: "o",
    required: true,
    summary: "The archive to create, or `-` for standard output",
  }),
  overlay: flag({
    summary: "Pack only the entries to append to another initrd, whose init stays",
  }),
  base: option(FILE, {
    valueName: "INITRD",
    summary: "With --overlay: begin with this initrd, so that FILE has both",
  }),
  init: flag({ summary: "With --overlay: also replace the other initrd's /init" }),
  kernelModules: option(DIRECTORY, {
    summary: `Pack vsock's modules from here, such as /lib/modules/VERSION: those of ${VSOCK_MODULES.join(", ")} that exist, and what they need`,
  }),
  modules: option(word("LIST"), {
    summary: "Further modules, with commas between: virtio_blk,ext4",
  }),
  loopback: flag({ summary: "Also pack vsock_loopback, with which the guest is CID 1 to itself" }),
  command: option(word("LINE"), {
    default: "agent",
    summary: "What init runs: a command of vsockbox, or a program of the image that begins with /",
  }),
  onExit: option(choice(EXIT_ACTIONS), {
    defaultText: DEFAULT_INIT_CONFIG.onExit,
    summary: "What follows when --command has ended",
  }),
  mount: list(word("[NAME:]DIR"), {
    summary: "Mount this export of the host, or its first one, before --command runs; packs fuse",
  }),
  file: list(word("SOURCE:DEST[:MODE]"), {
    summary: "Also pack a file, with the shared objects that it needs",
  }),
  busybox: option(FILE, {
    summary: "Also pack this busybox, with links for its programs: for `exec --shell` and scripts",
  }),
  executable: option(FILE, {
    defaultText: "this program",
    summary: "Pack this vsockbox, such as one for arm64",
  }),
  compress: option(choice(COMPRESSIONS), {
    default: "none",
    summary: "Compress the archive; the kernel unpacks it more slowly",
  }),
  force: flag({ short: "f", summary: "Replace a file that exists" }),
  ...jsonArgument,
  arguments: commandLine({ valueName: "[-- ARG...]", summary: "Further arguments of --command" }),
};

/** The values of {@link initramfsArguments}. */
export type InitramfsValues = ArgumentValues<typeof initramfsArguments>;
