/** Errors of commands with `--json`: an object on standard output, beside the text on standard error. */
import { toVsockboxError, VsockboxError } from "../../errors.ts";
import { printJson } from "../../ui/report.ts";
import { commandHint } from "./error-hints.ts";

/** Errors that a command has already printed, among its other events. */
const printed = new WeakSet<VsockboxError>();

/** Keeps {@link printJsonError} from printing an error a second time. */
export function markPrinted(error: VsockboxError): void {
  printed.add(error);
}

/** Returns an error as `--json` prints it, the hint for the command line included. */
export function errorEvent(thrown: unknown): Record<string, unknown> {
  const hint = commandHint(thrown);
  const event = { event: "error", ...toVsockboxError(thrown).toJSON() };
  return hint === undefined ? event : { ...event, hint };
}

/** Prints an error as one JSON object, unless the command has done so, or cannot write. */
export function printJsonError(thrown: unknown): void {
  if (thrown instanceof VsockboxError) {
    if (printed.has(thrown) || thrown.operation === "write to") return;
    printed.add(thrown);
  }
  printJson(errorEvent(thrown));
}
