/** Which commands run for long, and what signals mean to them. */

/** Commands that finish work of others, or their own clean-up, before they end. */
const SERVERS: ReadonlySet<string> = new Set([
  "agent",
  "bridge",
  "demo",
  "guest-exec",
  "hybrid-proxy",
  "init",
  "initramfs",
  "install",
  "mount",
  "shell-server",
]);

/** Further commands that leave files, sockets or commands of others if they end without cleanup. */
const LONG_RUNNING: ReadonlySet<string> = new Set([
  "bench serve",
  "cp",
  "forward",
  "guest-exec-host",
  "listen",
  "metrics",
]);

/** Returns whether a command ends in its own time, however many ending signals come. */
export function isServer(name: string): boolean {
  return SERVERS.has(name);
}

/**
 * Returns whether a command must not end by a signal that no part of it waits for: it ignores these
 * (`stray-signals.ts`), and SIGQUIT ends it as SIGTERM does.
 */
export function ignoresStraySignals(name: string): boolean {
  return SERVERS.has(name) || LONG_RUNNING.has(name);
}
