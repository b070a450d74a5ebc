/** Usage errors of `cp`. */
import { VsockboxError } from "../../errors.ts";

/** Returns the error for operands that `cp` cannot combine. */
export function usage(message: string, hint?: string): VsockboxError {
  return new VsockboxError({ code: "USAGE", operation: "cp", message, hint });
}
