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
    load: () => import("./run/exec.ts"),
  },
  {
    name: "shell",
    description: "Open the login shell of a user of a guest, on your terminal",
    load: () => import("./run/shell.ts"),
  },
  {
    name: "ps",
    description: "List an agent's detached sessions",
    load: () => import("./run/ps.ts"),
  },
  {
    name: "logs",
    description: "Print what detached sessions wrote",
    load: () => import("./run/logs.ts"),
  },
  {
    name: "attach",
    description: "Join a detached session: its output, your input; leaving does not end it",
    load: () => import("./run/attach.ts"),
  },
  {
    name: "kill",
    description: "End a detached session, or send it a signal",
    load: () => import("./run/kill.ts"),
  },
  {
    name: "cp",
    description: "Copy files and trees to a guest, from a guest, or from guest to guest",
    load: () => import("./files/cp.ts"),
  },
  {
    name: "ls",
    description: "List directories of a guest",
    load: () => import("./files/ls.ts"),
  },
  {
    name: "cat",
    description: "Print files of a guest",
    load: () => import("./files/cat.ts"),
  },
  {
    name: "stat",
    description: "Show size, mode, owner and time of a guest's files",
    load: () => import("./files/stat.ts"),
  },
  {
    name: "mkdir",
    description: "Make directories in a guest",
    load: () => import("./files/mkdir.ts"),
  },
  {
    name: "mv",
    description: "Rename a file or directory of a guest",
    load: () => import("./files/mv.ts"),
  },
  {
    name: "rm",
    description: "Remove files and directories of a guest",
    load: () => import("./files/rm.ts"),
  },
  {
    name: "wait",
    description: "Wait until the agent in a guest is ready",
    load: () => import("./diagnose/wait.ts"),
  },
  {
    name: "ping",
    description: "Measure an agent's round trip and clock",
    load: () => import("./diagnose/ping.ts"),
  },
  {
    name: "info",
    description: "Show an agent's version, and its machine's kernel, load and memory",
    load: () => import("./diagnose/info.ts"),
  },
  {
    name: "vms",
    description: "List the VMs of your profiles, with their state",
    load: () => import("./diagnose/vms.ts"),
  },
  {
    name: "shutdown",
    description: "Power off or reboot a guest whose init is `vsockbox agent --init`",
    load: () => import("./run/shutdown.ts"),
  },
  {
    name: "forward",
    description:
      "Reach TCP ports and Unix sockets of a guest from here, and of this machine from there",
    load: () => import("./bytes/forward.ts"),
  },
  {
    name: "agent",
    description: "Serve the host from inside a guest: commands, terminals, files, forwards",
    load: () => import("./guest/agent.ts"),
  },
  {
    name: "install",
    description: "Put vsockbox into this guest or into an image, with the service for its agent",
    load: () => import("./image/install.ts"),
  },
  {
    name: "connect",
    description: "Connect standard input and output to an address, like nc or socat",
    load: () => import("./bytes/connect.ts"),
  },
  {
    name: "listen",
    description: "Accept connections and join them to standard input and output, or to a command",
    load: () => import("./bytes/listen.ts"),
  },
  {
    name: "shell-server",
    description: "Serve shells and files to vsock-shell clients, like vsock-shell-server",
    load: () => import("./guest/shell-server.ts"),
  },
  {
    name: "shell-client",
    description: "A shell, a command or files at a vsock-shell server, like vsock-shell-client",
    load: () => import("./peers/shell-client.ts"),
  },
  {
    name: "hybrid-proxy",
    description: "Give VMs a vsock device without kernel modules, like vhost-device-vsock",
    load: () => import("./host/hybrid-proxy.ts"),
  },
  {
    name: "hybrid-proxy status",
    description: "Show the VMs that hybrid-proxy serves, and their connections",
    load: () => import("./host/status.ts"),
  },
  {
    name: "hybrid-proxy capture",
    description: "Write a VM's packets to a pcap file, from now on",
    load: () => import("./host/capture.ts"),
  },
  {
    name: "bridge",
    description: "Put a Firecracker-style Unix socket in front of vsock, or listeners before one",
    load: () => import("./bytes/bridge.ts"),
  },
  {
    name: "guest-exec",
    description: "In a guest: connect to the host and run what it sends, like vsock_guest_exec",
    load: () => import("./guest/guest-exec.ts"),
  },
  {
    name: "guest-exec-host",
    description: "On the host: send commands to guests that connect with guest-exec",
    load: () => import("./peers/guest-exec-host.ts"),
  },
  {
    name: "initramfs",
    description: "Pack vsockbox and kernel modules into an initramfs, or into an overlay of one",
    load: () => import("./image/initramfs.ts"),
  },
  {
    name: "init",
    description: "In an image of `initramfs`: be process 1, or load the packed kernel modules",
    load: () => import("./guest/init.ts"),
  },
  {
    name: "cid",
    description: "Print this machine's own CID",
    load: () => import("./diagnose/cid.ts"),
  },
  {
    name: "smoke",
    description: "Check that vsock works on this machine, or a guest from the host: for CI",
    load: () => import("./diagnose/smoke.ts"),
  },
  {
    name: "demo",
    description: "Boot a throw-away guest and run commands in it from the host, over hybrid-proxy",
    load: () => import("./diagnose/demo.ts"),
  },
];
