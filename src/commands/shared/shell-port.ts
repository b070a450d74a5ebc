/** `-p` of vsock-shell's programs. */
import { ANY } from "../../net/address.ts";
import { parseInteger } from "../../text/quantities.ts";
import type { Arguments, ArgumentSpec } from "../../ui/command.ts";
import { SHELL_PORT } from "../../vsock-shell/ports.ts";

/** `--port`. */
export const portArgument = {
  port: {
    type: "string",
    alias: "p",
    valueHint: "PORT",
    description: `The port (default ${SHELL_PORT}; the C code has 9999)`,
  },
} as const satisfies Record<string, ArgumentSpec>;

/** Reads {@link portArgument}. */
export function portOption(args: Arguments): number | undefined {
  const text = args.string("port");
  return text === undefined ? undefined : parseInteger(text, "port", 0, ANY - 1);
}
