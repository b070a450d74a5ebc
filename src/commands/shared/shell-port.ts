/** `-p` of vsock-shell's programs. */
import { ANY } from "../../net/address.ts";
import { SHELL_PORT } from "../../vsock-shell/ports.ts";
import { option } from "../../ui/argument.ts";
import { integer } from "../../ui/value-kind.ts";

/** `--port`. */
export const portArgument = {
  port: option(integer(0, ANY - 1, "PORT"), {
    short: "p",
    defaultText: String(SHELL_PORT),
    summary: "The server's port; the C programs have 9999",
  }),
};
