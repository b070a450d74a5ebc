/** A command's output as JSON lines. */
import type { VsockboxError } from "../../errors.ts";
import { printableJson } from "../../text/printable.ts";
import type { ByteSink } from "../../io/pump.ts";
import { errorJson, markPrinted } from "./json-error.ts";
import { encodeBase64 } from "../../protocols/agent/base64.ts";

/** How a command ended, as `--json` prints it. */
export interface ExitEvent {
  exit_code: number;
  signal: string | null;
  timed_out: boolean;
  duration_ms: number;
}

/** Receives the parts of a command's output. */
export interface ExecOutput {
  onStdout(bytes: Uint8Array): Promise<void>;
  onStderr(bytes: Uint8Array): Promise<void>;
  onExit(event: ExitEvent): Promise<void>;
  onError(error: VsockboxError): Promise<void>;
}

/**
 * Prints an object a line: `{"event":"stdout","text":…}` (or `"base64"` for bytes that are not UTF-8),
 * `stderr` likewise, then `exit` or `error`.
 *
 * @param common fields that every line begins with.
 */
export function eventOutput(
  sink: ByteSink,
  common: Readonly<Record<string, string | number>> = {},
): ExecOutput {
  const encoder = new TextEncoder();
  const emit = (event: Record<string, unknown>) =>
    sink.write(encoder.encode(`${printableJson({ ...common, ...event })}\n`));
  return {
    onStdout: (bytes) => emit({ event: "stdout", ...textOrBase64(bytes) }),
    onStderr: (bytes) => emit({ event: "stderr", ...textOrBase64(bytes) }),
    onExit: (exit) => emit({ event: "exit", ...exit }),
    async onError(error) {
      markPrinted(error);
      await emit({ event: "error", error: errorJson(error) });
    },
  };
}

function textOrBase64(bytes: Uint8Array): { text: string } | { base64: string } {
  try {
    return { text: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes) };
  } catch {
    return { base64: encodeBase64(bytes) };
  }
}
