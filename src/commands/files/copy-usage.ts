/** Usage errors of `cp`. */
import { commandLineError, VsockboxError } from "../../errors.ts";

/** Returns the error for operands that `cp` cannot combine. */
export function usage(message: string, hint?: string): VsockboxError {
  return commandLineError("cp", message, hint);
}
