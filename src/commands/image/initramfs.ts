/** `vsockbox initramfs`: packs vsockbox into an image that a kernel boots. */
import { initramfsArguments } from "./initramfs-arguments.ts";
import { packInitramfs } from "./initramfs-pack.ts";
import { defineCommand } from "../../ui/command-definition.ts";

export const command = defineCommand({
  name: "initramfs",
  group: "Images and installation",
  summary: "Pack vsockbox and kernel modules into an initramfs",
  args: initramfsArguments,
  requires: { base: ["overlay"] },
  examples: [
    {
      command: "vsockbox initramfs -o guest.cpio --kernel-modules /lib/modules/$(uname -r)",
      explanation: "A guest that is nothing but the agent: boot it with -kernel and -initrd",
    },
    {
      command:
        "vsockbox initramfs -o guest.cpio --file ./token:/etc/token:600 -- --token-file /etc/token",
      explanation: "Words after -- are for the agent; the kernel has vsock built in",
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
      explanation: "The same if the size of initrd.img is a multiple of 4",
    },
  ],
  run: packInitramfs,
});
