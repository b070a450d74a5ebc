/** Notifies the service manager that runs on this system. */
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { basename } from "node:path";
import { reasonOf, VsockboxError } from "../errors.ts";
import { ancestorCommands } from "../process/process-facts.ts";
import type { ServiceManager } from "./manifest.ts";
import { SERVICE_NAME } from "./service-texts.ts";

/** What has happened to the service. */
export type Happened = "installed" | "unchanged" | "removed";

/** Whether a service manager has booted this system; see sd_booted(3) for systemd. */
export function managerRuns(service: ServiceManager): boolean {
  switch (service) {
    case "systemd":
      return existsSync("/run/systemd/system");
    case "openrc":
      return existsSync("/run/openrc/softlevel");
    case "busybox":
      return initProgram()?.startsWith("busybox") === true;
    case "none":
      return false;
  }
}

/**
 * Whether this process belongs to the service, as when the host runs it through the agent: stopping the
 * service would end it.
 */
export function isInsideService(service: ServiceManager): boolean {
  switch (service) {
    case "systemd":
      return hasOwnGroup();
    case "openrc":
      return hasOwnGroup() || ancestorCommands().some(isSupervisor);
    case "busybox":
      return ancestorCommands().at(-1)?.[1] === "agent";
    case "none":
      return false;
  }
}

/** Whether that is how OpenRC supervises the service. */
function isSupervisor([program, ...words]: readonly string[]): boolean {
  return program?.endsWith("supervise-daemon") === true && words.includes(SERVICE_NAME);
}

function hasOwnGroup(): boolean {
  try {
    return isServiceGroup(readFileSync("/proc/self/cgroup", "utf8"));
  } catch {
    return false;
  }
}

/** Whether a process with this text in /proc/PID/cgroup belongs to the service: cgroups(7). */
export function isServiceGroup(text: string): boolean {
  const names = new Set([`${SERVICE_NAME}.service`, SERVICE_NAME, `openrc.${SERVICE_NAME}`]);
  return text.split(/[/\n]/).some((name) => names.has(name));
}

/** A command that its own request would end makes that request after two seconds, and has exited by then. */
const LATER = [
  ...["systemd-run", "--quiet", "--collect", "--on-active=2s"],
  "--timer-property=AccuracySec=100ms",
] as const;

/** What has to be run, in order, before files are removed and after all files are as they should be. */
export function managerCommands(
  service: ServiceManager,
  happened: Happened,
  now: boolean,
  isInside: boolean,
): { before: string[][]; after: string[][] } {
  const unit = `${SERVICE_NAME}.service`;
  const removed = happened === "removed";
  const verb = happened === "unchanged" ? "start" : "restart";
  switch (service) {
    case "systemd":
      if (removed) {
        return {
          before: now ? [["systemctl", "stop", unit]] : [],
          after: [["systemctl", "daemon-reload"]],
        };
      }
      return {
        before: [],
        after: [
          ...(happened === "installed"
            ? [
                ["systemctl", "daemon-reload"],
                ["systemctl", "enable", unit],
              ]
            : []),
          ...(now ? systemdStart(verb, isInside) : []),
        ],
      };
    case "openrc":
      return {
        before: removed && now ? [["rc-service", "--ifstarted", SERVICE_NAME, "stop"]] : [],
        after: !removed && now ? [["rc-service", SERVICE_NAME, verb]] : [],
      };
    case "busybox":
      // busybox init reads its inittab again, starts new entries and ends removed ones.
      return { before: [], after: now ? [["kill", "-HUP", "1"]] : [] };
    case "none":
      return { before: [], after: [] };
  }
}

function systemdStart(verb: "start" | "restart", isInside: boolean): string[][] {
  const start = ["systemctl", verb, `${SERVICE_NAME}.service`];
  // What runs this needs no start.
  if (isInside) return verb === "start" ? [] : [[...LATER, ...start]];
  // A unit whose conditions are not met is not started, which is not an error for systemctl.
  return [start, ["systemctl", "is-active", `${SERVICE_NAME}.service`]];
}

/**
 * Runs one list of {@link managerCommands} up to the first that fails.
 *
 * @throws {VsockboxError} UNAVAILABLE if one fails.
 */
export function runManager(
  commands: readonly (readonly string[])[],
  files: "in place" | "removed" | "not removed",
): void {
  for (const [index, command] of commands.entries()) {
    run(command, `the files are ${files}; ${adviceOf(commands.slice(index), files)}`);
  }
}

function run(command: readonly string[], hint: string): void {
  const fail = (message: string, cause?: unknown) =>
    new VsockboxError({
      code: "UNAVAILABLE",
      operation: "run",
      address: `\`${command.join(" ")}\``,
      message,
      hint,
      cause,
    });
  if (command[0] === "kill") {
    process.kill(1, "SIGHUP");
    return;
  }
  let result: Bun.SyncSubprocess<"pipe", "pipe">;
  try {
    // Not `ignore`: that needs /dev/null.
    result = Bun.spawnSync([...command], { stdin: "inherit", stdout: "pipe", stderr: "pipe" });
  } catch (thrown) {
    throw fail(reasonOf(thrown).message, thrown);
  }
  if (result.exitCode === 0) return;
  const words = `${result.stdout}${result.stderr}`.trim();
  throw fail(`status ${result.exitCode}${words === "" ? "" : `: ${words}`}`);
}

/** The hint if the first of `left` has failed. */
function adviceOf(left: readonly (readonly string[])[], files: string): string {
  if (left[0]?.[1] === "is-active") {
    return `\`systemctl status ${SERVICE_NAME}\` shows why the service does not run: in a container it is not started`;
  }
  if (files === "not removed") return "run it again after the cause is removed";
  // Another installation would find no change, and leave these out.
  return `run \`${left.map((words) => words.join(" ")).join(" && ")}\` after the cause is removed`;
}

function initProgram(): string | undefined {
  try {
    return basename(readlinkSync("/proc/1/exe"));
  } catch {
    return undefined;
  }
}
