/** What came of a transfer, in words. */
import type { FileFailures } from "../../agent/transfer/file-failures.ts";
import type { TransferSummary } from "../../agent/transfer/transfer.ts";
import { VsockboxError } from "../../errors.ts";
import { SilentCloseError } from "../../net/silent-close.ts";
import { say } from "../../ui/report.ts";
import { formatBytes } from "../../text/units.ts";
import { countOf } from "../../text/count.ts";

/** Reports the result of a transfer; returns the exit status. */
export function reportTransfer(summary: TransferSummary, seconds: number, quiet: boolean): number {
  printErrors(summary);
  if (!quiet && process.stderr.isTTY) {
    const rate = formatBytes(Math.round(summary.bytes / Math.max(seconds, 0.001)));
    const reused =
      summary.reused === 0 ? "" : `, ${formatBytes(summary.reused)} of it there already`;
    say(
      `${countOf(summary.files, "file")}, ${formatBytes(summary.bytes)}${reused} in ${seconds.toFixed(1)} s, ${rate}/s`,
    );
  }
  return summary.errorCount === 0 ? 0 : 74;
}

/** Prints the errors of single files. */
export function printErrors({ errors, errorCount }: FileFailures): void {
  for (const { message } of errors) say(`vsockbox: ${message}`);
  const unlisted = errorCount - errors.length;
  if (unlisted > 0) say(`vsockbox: and ${unlisted} more errors`);
}

/** Adds the hint that an interrupted copy can be resumed. */
export function withResumeHint(thrown: unknown, resumes: boolean): unknown {
  if (!(thrown instanceof VsockboxError) || thrown.code !== "TRANSPORT") return thrown;
  if (thrown instanceof SilentCloseError) return thrown;
  return thrown.withHint(
    resumes ? "the same command continues it" : "with --resume a broken copy can be continued",
  );
}
