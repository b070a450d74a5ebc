/** All commands, each loaded when it is run: start-up pays for one of them only. */
import type { Command } from "../ui/command-definition.ts";

/** A command by its name. */
export interface CommandEntry {
  name: string;
  load(): Promise<{ command: Command }>;
}

/** In the order of the overview, in each of its groups. */
export const COMMANDS: readonly CommandEntry[] = [
  { name: "exec", load: () => import("./run/exec.ts") },
  { name: "shell", load: () => import("./run/shell.ts") },
  { name: "ps", load: () => import("./run/ps.ts") },
  { name: "logs", load: () => import("./run/logs.ts") },
  { name: "attach", load: () => import("./run/attach.ts") },
  { name: "kill", load: () => import("./run/kill.ts") },
  { name: "shutdown", load: () => import("./run/shutdown.ts") },
  { name: "shell-client", load: () => import("./peers/shell-client.ts") },
  { name: "guest-exec-host", load: () => import("./peers/guest-exec-host.ts") },
  { name: "cp", load: () => import("./files/cp.ts") },
  { name: "ls", load: () => import("./files/ls.ts") },
  { name: "cat", load: () => import("./files/cat.ts") },
  { name: "stat", load: () => import("./files/stat.ts") },
  { name: "mkdir", load: () => import("./files/mkdir.ts") },
  { name: "mv", load: () => import("./files/mv.ts") },
  { name: "rm", load: () => import("./files/rm.ts") },
  { name: "watch", load: () => import("./files/watch.ts") },
  { name: "sync", load: () => import("./files/sync.ts") },
  { name: "share", load: () => import("./host/share.ts") },
  { name: "connect", load: () => import("./bytes/connect.ts") },
  { name: "listen", load: () => import("./bytes/listen.ts") },
  { name: "forward", load: () => import("./bytes/forward.ts") },
  { name: "bridge", load: () => import("./bytes/bridge.ts") },
  { name: "agent", load: () => import("./guest/agent.ts") },
  { name: "init", load: () => import("./guest/init.ts") },
  { name: "guest-exec", load: () => import("./guest/guest-exec.ts") },
  { name: "shell-server", load: () => import("./guest/shell-server.ts") },
  { name: "mount", load: () => import("./guest/mount.ts") },
  { name: "umount", load: () => import("./guest/umount.ts") },
  { name: "hybrid-proxy", load: () => import("./host/hybrid-proxy.ts") },
  { name: "hybrid-proxy status", load: () => import("./host/status.ts") },
  { name: "hybrid-proxy capture", load: () => import("./host/capture.ts") },
  { name: "export", load: () => import("./host/export.ts") },
  { name: "export status", load: () => import("./host/export-status.ts") },
  { name: "install", load: () => import("./image/install.ts") },
  { name: "initramfs", load: () => import("./image/initramfs.ts") },
  { name: "completion", load: () => import("./image/completion.ts") },
  { name: "man", load: () => import("./image/man.ts") },
  { name: "wait", load: () => import("./diagnose/wait.ts") },
  { name: "ping", load: () => import("./diagnose/ping.ts") },
  { name: "info", load: () => import("./diagnose/info.ts") },
  { name: "metrics", load: () => import("./diagnose/metrics.ts") },
  { name: "doctor", load: () => import("./diagnose/doctor.ts") },
  { name: "vms", load: () => import("./diagnose/vms.ts") },
  { name: "monitor", load: () => import("./diagnose/monitor.ts") },
  { name: "cid", load: () => import("./diagnose/cid.ts") },
  { name: "top", load: () => import("./diagnose/top.ts") },
  { name: "sockets", load: () => import("./diagnose/sockets.ts") },
  { name: "bench serve", load: () => import("./diagnose/bench-serve.ts") },
  { name: "bench run", load: () => import("./diagnose/bench-run.ts") },
  { name: "smoke", load: () => import("./diagnose/smoke.ts") },
  { name: "demo", load: () => import("./diagnose/demo.ts") },
];

/** Loads the definitions of all commands, in their order. */
export async function loadCommands(): Promise<Command[]> {
  return Promise.all(COMMANDS.map(async ({ load }) => (await load()).command));
}
