/** `vsockbox mount`: a directory of the host as a file system of the guest. */
import { basename } from "node:path";
import { isDaemonStart } from "../../process/service/daemon.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { runService } from "../shared/service.ts";
import { mountArguments } from "./mount-arguments.ts";
import { helperWords } from "./mount-options.ts";
import { runMount } from "./mount-run.ts";

/** The name under which mount(8) starts the helper for the type `vsockbox` of fstab. */
const MOUNT_HELPER = "mount.vsockbox";

export const command = defineCommand({
  name: "mount",
  group: "Guest services",
  summary: "Mount a directory that the host exports",
  args: mountArguments,
  rewrite: (words) =>
    basename(process.argv0) === MOUNT_HELPER || isDaemonStart() ? helperWords(words) : words,
  examples: [
    {
      command: "vsockbox mount /work",
      explanation:
        "In a guest: the first export of the host, until Ctrl-C or `vsockbox umount /work`",
    },
    {
      command: "vsockbox mount src /work --daemon --reconnect",
      explanation: "The export src, in the background, also after a restart of the host's side",
    },
    {
      command: "vsockbox mount src /mnt --read-only --cache always",
      explanation: "Files that do not change on the host meanwhile",
    },
    {
      command: "src  /work  vsockbox  reconnect,nofail  0  0",
      explanation: "The same as a line of fstab, with a link /sbin/mount.vsockbox to vsockbox",
    },
  ],
  run: (args) => runService("mount", args, () => runMount(args), args.wait),
});
