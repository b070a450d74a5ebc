/** Packing an initramfs: from the options to the file and the summary. */
import { octalMode } from "../shared/json-shapes.ts";
import { writeOutputFile } from "../shared/output-file.ts";
import { lstatSync } from "node:fs";
import { resolve } from "node:path";
import { VsockboxError } from "../../errors.ts";
import { fileStatus } from "../../initramfs/added-file.ts";
import type { CpioEntry } from "../../initramfs/cpio.ts";
import { sharedObjects } from "../../elf/shared-objects.ts";
import { imageEntries, IMAGE_EXECUTABLE } from "../../initramfs/image.ts";
import { archiveStream, CountedBytes, type WrittenArchive } from "../../initramfs/write.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { isBrokenPipe, StandardOutput } from "../../io/stdio.ts";
import { STATUS_BROKEN_PIPE } from "../../process/exit-status.ts";
import { print, printJson, say } from "../../ui/report.ts";
import { formatBytes } from "../../text/units.ts";
import type { InitramfsValues } from "./initramfs-arguments.ts";
import { type PackPlan, planOf } from "./initramfs-plan.ts";
import { countOf } from "../../text/count.ts";

/** Mode of a new archive: it may have secrets of the guest in it. */
const ARCHIVE_MODE = 0o600;

/** Packs the image; returns the exit status. */
export async function packInitramfs(args: InitramfsValues): Promise<number> {
  const plan = await planOf(args);
  if (plan.output !== undefined && !args.force) refuseExisting(plan.output);
  const entries = imageEntries(plan);
  const aborted = new AbortController();
  let status = 0;
  using _signals = onEndingSignal((signal) => {
    status = statusOfSignal(signal);
    aborted.abort(signal);
  });
  const { compression, base } = plan;
  const counted = new CountedBytes(
    archiveStream(entries, { compression, base, signal: aborted.signal }),
  );
  try {
    await writeOut(plan.output, counted);
  } catch (thrown) {
    // Nothing of it is left.
    if (aborted.signal.aborted) return status;
    if (isBrokenPipe(thrown)) return STATUS_BROKEN_PIPE;
    throw thrown;
  }
  report(args, plan, entries, counted.written());
  return 0;
}

async function writeOut(output: string | undefined, content: CountedBytes): Promise<void> {
  if (output === undefined) {
    const stdout = new StandardOutput(1);
    for await (const piece of content) await stdout.write(piece);
    return stdout.end();
  }
  await writeOutputFile(output, content, ARCHIVE_MODE);
}

/** Undefined if there is no file, or if writing reports a better error. */
function statusOf(path: string) {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
}

/** A device or a FIFO is written to as it is. */
function refuseExisting(output: string): void {
  const status = statusOf(output);
  if (status === undefined || !(status.isFile() || status.isSymbolicLink())) return;
  throw new VsockboxError({
    code: "CANNOT_CREATE",
    operation: "write",
    address: output,
    message: "file exists",
    errno: "EEXIST",
    hint: "choose another name, or replace it with --force",
  });
}

function report(
  args: InitramfsValues,
  plan: PackPlan,
  entries: readonly CpioEntry[],
  { bytes, sha256 }: WrittenArchive,
): void {
  const { executable, modules, config, files, isInit, overlay, compression, base } = plan;
  const objects = sharedObjects(executable);
  const init = isInit ? { command: config.command, on_exit: config.onExit } : null;
  if (args.json) {
    return printJson({
      file: plan.output === undefined ? null : resolve(plan.output),
      size_bytes: bytes,
      sha256,
      compression,
      overlay,
      base: base ?? null,
      init,
      executable: {
        source: executable,
        path: IMAGE_EXECUTABLE,
        size_bytes: fileStatus(executable).size,
        shared_objects: objects,
      },
      kernel: config.kernel ?? null,
      modules: modules.map(({ name }) => name),
      files: files.map(({ source, path, mode }) => ({ source, path, mode: octalMode(mode) })),
      entries: entries.length,
    });
  }
  const tell = plan.output === undefined ? say : print;
  tell(
    `${plan.output ?? "standard output"}: ${formatBytes(bytes)}, ${countOf(entries.length, "entry", "entries")}`,
  );
  tell(
    `  init: ${init === null ? "not in it" : `${config.command.join(" ")}, then ${config.onExit}`}`,
  );
  if (modules.length === 0) tell("  modules: none");
  else tell(`  modules for Linux ${config.kernel}: ${modules.map(({ name }) => name).join(", ")}`);
  if (objects.length > 0) tell(`  shared objects: ${objects.join(", ")}`);
}
