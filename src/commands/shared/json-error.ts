/** Errors of commands with `--json`: an object on standard output, beside the text on standard error. */
import { OutputError, toVsockboxError, VsockboxError } from "../../errors.ts";
import { StartError } from "../../start-error.ts";
import { printJson } from "../../ui/report.ts";
import { commandHint } from "./error-hints.ts";

/** Errors that a command has already printed, among its other events. */
const printed = new WeakSet<VsockboxError>();

/** Keeps {@link printJsonError} from printing an error a second time. */
export function markPrinted(error: VsockboxError): void {
  printed.add(error);
}

/** An error as `--json` prints it; a value that it does not have is null. */
export interface ErrorJson {
  code: string;
  message: string;
  hint: string | null;
  operation: string;
  /** The address, path or command of the operation. */
  address: string | null;
  /** The errno's name. */
  errno: string | null;
  /** Of a command that could not be started: the kind and the step of the failure. */
  kind: string | null;
  stage: string | null;
}

/** Returns an error as `--json` prints it, the hint for the command line included. */
export function errorJson(thrown: unknown): ErrorJson {
  const error = toVsockboxError(thrown);
  const start = error instanceof StartError ? error : undefined;
  return {
    code: error.code,
    message: error.message,
    hint: commandHint(thrown) ?? error.hint ?? null,
    operation: error.operation,
    address: error.address ?? null,
    errno: error.errno ?? null,
    kind: start?.kind ?? null,
    stage: start?.stage ?? null,
  };
}

/** Prints an error as one JSON object, unless the command has done so, or cannot write. */
export function printJsonError(thrown: unknown): void {
  if (thrown instanceof VsockboxError) {
    if (printed.has(thrown) || thrown instanceof OutputError) return;
    printed.add(thrown);
  }
  printJson({ error: errorJson(thrown) });
}
