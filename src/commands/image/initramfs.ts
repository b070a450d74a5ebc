/** `vsockbox initramfs`: packs vsockbox into an image that a kernel boots. */
import { COMPRESSIONS } from "../../initramfs/write.ts";
import { EXIT_ACTIONS } from "../../initramfs/init-config.ts";
import { VSOCK_MODULES } from "../../initramfs/modules.ts";
import type { Command } from "../../ui/command.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { packInitramfs } from "./initramfs-pack.ts";

export const command: Command = {
  name: "initramfs",
  description: "Pack vsockbox and kernel modules into an initramfs, or into an overlay of one",
  args: {
    output: {
      type: "string",
      alias: "o",
      valueHint: "FILE",
      description: "The archive to be made, or `-` for standard output",
    },
    overlay: {
      type: "boolean",
      description: "Only what goes over another initrd, to be appended to it; its init stays",
    },
    base: {
      type: "string",
      valueHint: "INITRD",
      description: "With --overlay: begin with this initrd, so that FILE is both",
    },
    init: { type: "boolean", description: "With --overlay: also replace the other initrd's /init" },
    "kernel-modules": {
      type: "string",
      valueHint: "DIR",
      description: `Pack vsock's modules from here, as /lib/modules/VERSION: what there is of ${VSOCK_MODULES.join(", ")}, and what they need`,
    },
    modules: {
      type: "string",
      valueHint: "LIST",
      description: "Further modules, with commas between: virtio_blk,ext4",
    },
    loopback: { type: "boolean", description: "Also vsock_loopback: the guest is CID 1 to itself" },
    command: {
      type: "string",
      valueHint: "LINE",
      default: "agent",
      description:
        "What init runs: a command of vsockbox, or a program of the image that begins with /",
    },
    "on-exit": {
      type: "enum",
      options: [...EXIT_ACTIONS],
      description: "What comes when --command has ended (default poweroff)",
    },
    file: {
      type: "string",
      repeatable: true,
      valueHint: "SOURCE:DEST[:MODE]",
      description: "Pack a file too, with the shared objects that it needs; repeatable",
    },
    busybox: {
      type: "string",
      valueHint: "FILE",
      description: "Pack this busybox, with links for its programs: for `exec --shell` and scripts",
    },
    executable: {
      type: "string",
      valueHint: "FILE",
      description: "Pack this vsockbox, such as one for arm64 (default: this very one)",
    },
    compress: {
      type: "enum",
      options: [...COMPRESSIONS],
      default: "none",
      description: "Smaller, but the kernel is slower to unpack it",
    },
    force: { type: "boolean", description: "Replace a file that exists" },
    ...jsonArgument,
  },
  restName: "ARGUMENTS",
  examples: [
    {
      command: "vsockbox initramfs -o guest.cpio --kernel-modules /lib/modules/$(uname -r)",
      explanation: "A guest that is nothing but the agent: boot it with -kernel and -initrd",
    },
    {
      command:
        "vsockbox initramfs -o guest.cpio --file ./token:/etc/token:600 -- --token-file /etc/token",
      explanation: "Words behind -- are for the agent; the kernel has vsock built in",
    },
    {
      command:
        "vsockbox initramfs -o job.cpio --command 'guest-exec --retry 2:7777' --busybox /bin/busybox",
      explanation: "Run what the host sends, then power off",
    },
    {
      command:
        "vsockbox initramfs -o app.cpio --file ./server:/bin/server:755 --command '/bin/server --port 80' --on-exit restart",
      explanation: "A program of your own as the guest's only service",
    },
    {
      command: "vsockbox initramfs --overlay --base initrd.img -o both.img",
      explanation: "An existing initrd, with /usr/bin/vsockbox in it",
    },
    {
      command: "vsockbox initramfs --overlay -o - | cat initrd.img - > both.img",
      explanation: "The same where the size of initrd.img is a multiple of 4",
    },
  ],
  run: packInitramfs,
};
