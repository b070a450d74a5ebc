/** Commands for several guests at once: each failure is reported, and the largest status counts. */
import { toVsockboxError } from "../../errors.ts";
import { isBrokenPipe } from "../../io/stdio.ts";
import { STATUS_BROKEN_PIPE } from "../../process/exit-status.ts";
import { countOf } from "../../text/count.ts";
import { printJson, say } from "../../ui/report.ts";
import { commandHint } from "./error-hints.ts";
import { errorJson } from "./json-error.ts";

/**
 * Does the work in all targets, and prints how many failed.
 *
 * @param work returns the exit status of one.
 * @returns 0 if all statuses are 0, else the largest one; 141 if nothing reads the output.
 */
export async function inEachTarget(
  names: readonly string[],
  work: (name: string) => Promise<number>,
  { json }: { json: boolean },
): Promise<number> {
  const statuses = await Promise.all(
    names.map(async (name) => {
      try {
        return await work(name);
      } catch (thrown) {
        if (isBrokenPipe(thrown)) return STATUS_BROKEN_PIPE;
        return reportTarget(name, thrown, json);
      }
    }),
  );
  const failed = statuses.filter((status) => status !== 0).length;
  if (!json) say(`vsockbox: ${countOf(names.length, "guest")}, ${failed} failed`);
  return Math.max(...statuses);
}

/** Reports the failure in one target; returns its exit status. */
function reportTarget(name: string, thrown: unknown, json: boolean): number {
  const error = toVsockboxError(thrown);
  if (json) printJson({ target: name, error: errorJson(thrown) });
  say(`vsockbox: ${name}: ${error.message}`);
  const hint = commandHint(thrown) ?? error.hint;
  if (hint !== undefined) say(`  hint: ${hint}`);
  return error.exitStatus;
}
