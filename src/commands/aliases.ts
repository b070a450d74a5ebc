/** Commands by other ways than their name as the first word. */
import { basename } from "node:path";

/** What vsockbox is when it is started under another program's name, as through a link. */
export const PROGRAM_NAMES: Readonly<Record<string, string>> = {
  "vhost-device-vsock": "hybrid-proxy",
  vsock_guest_exec: "guest-exec",
  "vsock-shell-client": "shell-client",
  "vsock-shell-server": "shell-server",
  "mount.vsockbox": "mount",
};

/** The name under which the kernel starts process 1 of an image that `vsockbox initramfs` has written. */
const INIT_NAME = "init";

/** First words of a command that make it another command. */
const SUB_COMMANDS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  bench: { serve: "bench serve", run: "bench run" },
  export: { status: "export status" },
  "hybrid-proxy": {
    bridge: "bridge",
    status: "hybrid-proxy status",
    capture: "hybrid-proxy capture",
  },
};

/**
 * Returns the command for which the program was started under another name.
 *
 * @param programName argv[0] as the kernel has it: in a compiled executable process.argv[0] is the
 * runtime's name, and process.argv0 is this.
 */
export function aliasedCommand(programName: string): string | undefined {
  return own(PROGRAM_NAMES, basename(programName));
}

/** Whether this is the init of an image: its arguments are the kernel's, and nothing may end it. */
export function isInit(programName: string, pid: number): boolean {
  return pid === 1 && basename(programName) === INIT_NAME;
}

/** The command that a command's first word stands for, if it does. */
export function subCommand(name: string, word: string | undefined): string | undefined {
  return word === undefined ? undefined : own(own(SUB_COMMANDS, name) ?? {}, word);
}

function own<T>(table: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}
