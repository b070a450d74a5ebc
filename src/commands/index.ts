/** All commands, each loaded when it is run: start-up pays for one of them only. */
import type { Command } from "../ui/command.ts";

/** A command by its name, with the line that the overview shows. */
export interface CommandEntry {
  name: string;
  description: string;
  load(): Promise<{ command: Command }>;
}

/** In the order of the overview. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "exec",
    description: "Run a command in a guest: its input, output and exit status become yours",
    load: () => import("./exec.ts"),
  },
  {
    name: "shell",
    description: "Open the login shell of a user of a guest, on your terminal",
    load: () => import("./shell.ts"),
  },
  {
    name: "ps",
    description: "List an agent's detached sessions",
    load: () => import("./ps.ts"),
  },
  {
    name: "logs",
    description: "Print what detached sessions wrote",
    load: () => import("./logs.ts"),
  },
  {
    name: "attach",
    description: "Join a detached session: its output, your input; leaving does not end it",
    load: () => import("./attach.ts"),
  },
  {
    name: "kill",
    description: "End a detached session, or send it a signal",
    load: () => import("./kill.ts"),
  },
  {
    name: "cp",
    description: "Copy files and trees to a guest, from a guest, or from guest to guest",
    load: () => import("./cp.ts"),
  },
  {
    name: "ls",
    description: "List directories of a guest",
    load: () => import("./ls.ts"),
  },
  {
    name: "cat",
    description: "Print files of a guest",
    load: () => import("./cat.ts"),
  },
  {
    name: "stat",
    description: "Show size, mode, owner and time of a guest's files",
    load: () => import("./stat.ts"),
  },
  {
    name: "mkdir",
    description: "Make directories in a guest",
    load: () => import("./mkdir.ts"),
  },
  {
    name: "mv",
    description: "Rename a file or directory of a guest",
    load: () => import("./mv.ts"),
  },
  {
    name: "rm",
    description: "Remove files and directories of a guest",
    load: () => import("./rm.ts"),
  },
  {
    name: "wait",
    description: "Wait until the agent in a guest is ready",
    load: () => import("./wait.ts"),
  },
  {
    name: "ping",
    description: "Measure an agent's round trip and clock",
    load: () => import("./ping.ts"),
  },
  {
    name: "info",
    description: "Show an agent's version, and its machine's kernel, load and memory",
    load: () => import("./info.ts"),
  },
  {
    name: "vms",
    description: "List the VMs of your profiles, with their state",
    load: () => import("./vms.ts"),
  },
  {
    name: "shutdown",
    description: "Power off or reboot a guest whose init is `vsockbox agent --init`",
    load: () => import("./shutdown.ts"),
  },
  {
    name: "forward",
    description:
      "Reach TCP ports and Unix sockets of a guest from here, and of this machine from there",
    load: () => import("./forward.ts"),
  },
  {
    name: "agent",
    description: "Serve the host from inside a guest: commands, terminals, files, forwards",
    load: () => import("./agent.ts"),
  },
  {
    name: "install",
    description: "Put vsockbox into this guest or into an image, with the service for its agent",
    load: () => import("./install.ts"),
  },
  {
    name: "connect",
    description: "Connect standard input and output to an address, like nc or socat",
    load: () => import("./connect.ts"),
  },
  {
    name: "listen",
    description: "Accept connections and join them to standard input and output, or to a command",
    load: () => import("./listen.ts"),
  },
  {
    name: "shell-server",
    description: "Serve shells and files to vsock-shell clients, like vsock-shell-server",
    load: () => import("./shell-server.ts"),
  },
  {
    name: "shell-client",
    description: "A shell, a command or files at a vsock-shell server, like vsock-shell-client",
    load: () => import("./shell-client.ts"),
  },
  {
    name: "hybrid-proxy",
    description: "Give VMs a vsock device without kernel modules, like vhost-device-vsock",
    load: () => import("./hybrid-proxy.ts"),
  },
  {
    name: "hybrid-proxy status",
    description: "Show the VMs that hybrid-proxy serves, and their connections",
    load: () => import("./hybrid-status.ts"),
  },
  {
    name: "hybrid-proxy capture",
    description: "Write a VM's packets to a pcap file, from now on",
    load: () => import("./hybrid-capture.ts"),
  },
  {
    name: "bridge",
    description: "Put a Firecracker-style Unix socket in front of vsock, or listeners before one",
    load: () => import("./bridge.ts"),
  },
  {
    name: "guest-exec",
    description: "In a guest: connect to the host and run what it sends, like vsock_guest_exec",
    load: () => import("./guest-exec.ts"),
  },
  {
    name: "guest-exec-host",
    description: "On the host: send commands to guests that connect with guest-exec",
    load: () => import("./guest-exec-host.ts"),
  },
  {
    name: "initramfs",
    description: "Pack vsockbox and kernel modules into an initramfs, or into an overlay of one",
    load: () => import("./initramfs.ts"),
  },
  {
    name: "init",
    description: "In an image of `initramfs`: be process 1, or load the packed kernel modules",
    load: () => import("./init.ts"),
  },
  {
    name: "cid",
    description: "Print this machine's own CID",
    load: () => import("./cid.ts"),
  },
  {
    name: "smoke",
    description: "Check that vsock works on this machine, or a guest from the host: for CI",
    load: () => import("./smoke.ts"),
  },
  {
    name: "demo",
    description: "Boot a throw-away guest and run commands in it from the host, over hybrid-proxy",
    load: () => import("./demo.ts"),
  },
];
