/** The report of `vsockbox install`. */
import type { Executable } from "../../install/executable.ts";
import type { ServiceManager } from "../../install/manifest.ts";
import type { Change, Remark } from "../../install/plan.ts";
import { SERVICE_NAME } from "../../install/service-texts.ts";
import { print, printJson } from "../../ui/report.ts";
import { formatBytes } from "../../text/units.ts";

/** The facts. */
export interface InstallReport {
  operation: "install" | "uninstall";
  dryRun: boolean;
  now: boolean;
  root: string;
  service: ServiceManager;
  because: string;
  upToDate: boolean;
  /** Of an installation. */
  executable?: Executable;
  /** The line that starts the agent; of an installation. */
  agent?: string;
  changes: readonly Change[];
  kept: readonly Remark[];
  /** Commands of the service manager. */
  ran: readonly string[];
  /** Whether the service manager runs here. */
  managerRuns: boolean;
}

/** Prints it. */
export function reportInstall(report: InstallReport, json: boolean): void {
  if (json) return printJson(asJson(report));
  const { operation, changes, kept, root, service, because, ran, dryRun } = report;
  if (dryRun) print(`Nothing is changed in ${root}; without --dry-run it would be:`);
  for (const change of changes) print(changeLine(change, report.executable));
  for (const { path, because: why } of kept) print(`keep     ${path} (${why})`);
  if (report.upToDate) print("up to date");
  if (operation === "install") print(`service: ${service} (${because})`);
  for (const line of ran) print(`ran: ${line}`);
  for (const line of nextLines(report)) print(line);
}

function asJson(report: InstallReport) {
  const { executable, changes } = report;
  return {
    operation: report.operation,
    dry_run: report.dryRun,
    now: report.now,
    root: report.root,
    service: report.service,
    reason: report.because,
    up_to_date: report.upToDate,
    executable: executable === undefined ? null : executableJson(executable),
    agent: report.agent ?? null,
    changes: changes.map((change) => ({
      action: change.do,
      path: change.path,
      link_target: "item" in change && change.item.kind === "link" ? change.item.target : null,
    })),
    kept: report.kept.map(({ path, because }) => ({ path, reason: because })),
    ran: report.ran,
    manager_runs: report.managerRuns,
    next: nextLines(report),
  };
}

function executableJson({ path, bytes, sha256, architecture, interpreter }: Executable) {
  return { path, size_bytes: bytes, sha256, architecture, interpreter: interpreter ?? null };
}

function changeLine(change: Change, executable: Executable | undefined): string {
  const words = `${change.do.padEnd(8)} ${change.path}`;
  if (!("item" in change)) return words;
  const { item } = change;
  if (item.kind === "link") return `${words} -> ${item.target}`;
  if (item.kind !== "binary") return words;
  return `${words} (${formatBytes(item.bytes)}, ${executable?.architecture ?? ""})`;
}

const START: Readonly<Record<ServiceManager, { start?: string; restart?: string }>> = {
  systemd: {
    start: `\`systemctl start ${SERVICE_NAME}\``,
    restart: `\`systemctl restart ${SERVICE_NAME}\``,
  },
  openrc: {
    start: `\`rc-service ${SERVICE_NAME} start\``,
    restart: `\`rc-service ${SERVICE_NAME} restart\``,
  },
  busybox: { start: "`kill -HUP 1`" },
  none: {},
};

/** The next steps for the user. */
function nextLines(report: Omit<InstallReport, "executable">): string[] {
  const { operation, service, changes, kept, now, dryRun, agent } = report;
  if (dryRun) return [];
  if (operation === "uninstall") {
    const lines = kept.length > 0 ? ["--uninstall --force removes the kept files as well"] : [];
    if (!now) lines.push("An agent that still runs is not stopped by this.");
    return lines;
  }
  if (service === "none") return [`Nothing starts the agent: that is \`${agent ?? ""}\``];
  const replaced = changes.some(
    (change) => change.do === "replace" && "item" in change && change.item.kind === "binary",
  );
  const { start, restart } = START[service];
  if (replaced && (!now || restart === undefined)) {
    const how = report.managerRuns && restart !== undefined ? `: ${restart}` : "";
    return [`An agent that runs goes on with the old file until its service is restarted${how}`];
  }
  if (now || changes.length === 0) return [];
  return [
    report.managerRuns
      ? `The agent starts at the next boot, or now with ${start ?? ""}`
      : "The agent starts at the next boot.",
  ];
}
