/** `vsockbox sync`: makes a directory the mirror of one on the other side, once or whenever it changes. */
import { AgentClient } from "../../agent/client/agent-client.ts";
import { resolveHome } from "../../agent/client/home-path.ts";
import { commandLineError, EXIT_STATUS, toVsockboxError } from "../../errors.ts";
import { showPath } from "../../files/bytes-path.ts";
import { assertDirectory } from "../../files/local-directory.ts";
import { rawWords } from "../../process/raw-arguments.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { encodePath } from "../../protocols/agent/paths.ts";
import { countOf } from "../../text/count.ts";
import { formatBytes } from "../../text/units.ts";
import { type ArgumentValues, flag, list, operand, option } from "../../ui/argument.ts";
import { defineCommand } from "../../ui/command-definition.ts";
import { print, printJson, say } from "../../ui/report.ts";
import { DURATION, word } from "../../ui/value-kind.ts";
import { readAddress } from "../shared/address-kind.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { EXCLUDED_NAME } from "../shared/name-kinds.ts";
import { transferJson } from "../shared/json-shapes.ts";
import {
  agentArguments,
  agentTarget,
  checkTargets,
  type Operand,
  parseOperand,
} from "../shared/target.ts";
import { printErrors } from "../shared/transfer-report.ts";
import type { SourceWatch, SyncEnds } from "./sync-ends.ts";
import { type SyncOptions, type SyncResult, syncOnce } from "./sync-job.ts";
import { syncBytes } from "./sync-trees.ts";
import { mirrorChanges } from "./sync-watch.ts";
import { watchedJson, watchedText } from "./watch-lines.ts";

/** Without `--debounce`, in milliseconds. */
const DEFAULT_DEBOUNCE_MS = 100;

const ARGUMENTS = {
  source: operand(word("PATH"), {
    valueName: "SRC",
    summary: "A directory here, or TARGET:PATH of one in a guest",
  }),
  destination: operand(word("PATH"), {
    valueName: "DST",
    summary: "A directory on the other side, which is made if it does not exist",
  }),
  watch: flag({ summary: "Continue, and mirror each change, until Ctrl-C" }),
  delete: flag({ summary: "Remove from DST what SRC does not have" }),
  checksum: flag({ summary: "Compare the content of all files, in place of size and time" }),
  exclude: list(EXCLUDED_NAME, {
    summary: "Leave out names that match, on both sides, such as .git or '*.tmp'",
  }),
  debounce: option(DURATION, {
    default: DEFAULT_DEBOUNCE_MS,
    summary: "With --watch, mirror when nothing has changed for this long",
  }),
  dryRun: flag({ summary: "Print what would be done" }),
  quiet: flag({ short: "q", summary: "Print no summaries" }),
  ...agentArguments,
  ...jsonArgument,
};

type Values = ArgumentValues<typeof ARGUMENTS>;

export const command = defineCommand({
  name: "sync",
  group: "Files",
  summary: "Mirror a directory into or out of a guest",
  args: ARGUMENTS,
  conflicts: { dryRun: ["watch"] },
  requires: { debounce: ["watch"] },
  examples: [
    { command: "vsockbox sync . 3:/work", explanation: "Copies what differs in size or time" },
    {
      command: "vsockbox sync --watch --delete --exclude .git . web:/srv/app",
      explanation: "A mirror of each change, until Ctrl-C",
    },
    { command: "vsockbox sync 3:/var/www www", explanation: "Out of a guest" },
    { command: "vsockbox sync --delete --dry-run . 3:/work", explanation: "What would be done" },
  ],
  async run(args) {
    const sides = readOperands(args);
    const interrupt = new AbortController();
    let status: number | undefined;
    using _signals = onEndingSignal((signal) => {
      status ??= statusOfSignal(signal);
      interrupt.abort();
    });
    try {
      const own = await synchronise(args, sides, interrupt.signal);
      return status ?? own;
    } catch (thrown) {
      if (status === undefined) throw thrown;
    }
    say("vsockbox: interrupted");
    return status;
  },
});

/** The two sides of a mirror. */
interface Sides {
  /** The guest's. */
  remote: Operand & { kind: "remote" };
  /** The path here. */
  local: Uint8Array;
  isUpload: boolean;
}

/** @throws {VsockboxError} USAGE. */
function readOperands({ source, destination }: Values): Sides {
  const raw = rawWords([source, destination]);
  checkTargets(raw, true);
  const [from, to] = raw.map(parseOperand);
  if (from?.kind === "local" && to?.kind === "remote") {
    return { remote: to, local: from.path, isUpload: true };
  }
  if (from?.kind === "remote" && to?.kind === "local") {
    return { remote: from, local: to.path, isUpload: false };
  }
  throw commandLineError(
    "sync",
    "one side must be a directory here, and the other one in a guest",
    "vsockbox sync SRC DST, as in `vsockbox sync . 3:/work`",
  );
}

async function synchronise(args: Values, sides: Sides, signal: AbortSignal): Promise<number> {
  const target = agentTarget(args, readAddress(sides.remote.target), signal);
  if (sides.isUpload) checkSource(sides.local);
  await using client = await AgentClient.connect(target.address, target.options);
  const { delete: deletes, checksum, exclude, dryRun: isDryRun } = args;
  const options = { deletes, checksum, exclude, isDryRun, signal };
  const ends = await openEnds(client, sides, options);
  if (!args.watch) return report(await syncOnce(ends, options), args);
  const mirrored = mirrorChanges(
    {
      shown: args.source,
      watchSource: () => ends.watchSource(),
      onArmed: (watch) => announce(watch, args),
      debounceMs: args.debounce,
      signal,
    },
    async (paths) => {
      // The next change covers what was removed meanwhile.
      report(withoutVanished(await syncOnce(ends, options, paths)), args);
    },
  );
  // A mirror of a local directory would notice a lost connection only at the next change.
  await Promise.race([mirrored, client.closed]);
  if (!signal.aborted) await client.ping();
  await mirrored;
  return 0;
}

/** @throws {VsockboxError} IO, before anything is connected to. */
function checkSource(path: Uint8Array): void {
  try {
    assertDirectory(path);
  } catch (thrown) {
    const error = toVsockboxError(thrown);
    throw error.errno === "ENOTDIR" ? error.withHint("`vsockbox cp` copies single files") : error;
  }
}

async function openEnds(
  client: AgentClient,
  { remote, local, isUpload }: Sides,
  options: SyncOptions,
): Promise<SyncEnds> {
  const path = await resolveHome(client, remote.path);
  if (isUpload) {
    const { SyncToGuest } = await import("./sync-to-guest.ts");
    return SyncToGuest.open(client, { source: local, destination: path }, options);
  }
  const { SyncToHost } = await import("./sync-to-host.ts");
  return SyncToHost.open(client, { source: path, destination: local }, options);
}

/** Prints that the watch of the source is armed. */
function announce(watch: SourceWatch, { source, json, quiet }: Values): void {
  if (json) printJson({ event: "ready", path: source, ...watchedJson(watch) });
  else if (!quiet) say(`vsockbox: watching ${source} (${watchedText(watch)})`);
}

function withoutVanished(result: SyncResult): SyncResult {
  const { summary } = result;
  const left = summary.errors.filter(({ errno }) => errno !== "ENOENT");
  summary.errorCount -= summary.errors.length - left.length;
  summary.errors.splice(0, summary.errors.length, ...left);
  return result;
}

/** Prints a result; returns the exit status. */
function report(result: SyncResult, args: Values): number {
  const { plan, summary, removed, durationMs } = result;
  if (args.dryRun) printPlan(result, args.json);
  else if (args.json) {
    const { files, directories, ...rest } = transferJson(summary, durationMs / 1000);
    printJson({ event: "synced", files, directories, removed, ...rest });
  }
  printErrors(summary);
  const isChange = plan.copies.length + removed > 0;
  if (!args.quiet && !args.json && !args.dryRun && (isChange || !args.watch)) {
    const links = summary.links === 0 ? "" : `, ${countOf(summary.links, "link")}`;
    const gone = removed === 0 ? "" : `, ${removed} removed`;
    say(
      `vsockbox: ${countOf(summary.files, "file")}${links}, ${formatBytes(summary.bytes)}${gone}`,
    );
  }
  return summary.errorCount === 0 ? 0 : EXIT_STATUS.IO;
}

function printPlan({ plan }: SyncResult, isJson: boolean): void {
  const show = (action: "remove" | "copy") => (path: string) => {
    const bytes = syncBytes(path);
    if (isJson) printJson({ action, path: encodePath(bytes) });
    else print(`${action} ${showPath(bytes)}`);
  };
  plan.removals.forEach(show("remove"));
  plan.copies.forEach(show("copy"));
}
