/** Programs that must not outlive this one. */
import { realpathSync } from "node:fs";
import { basename } from "node:path";

/**
 * Returns a command that is killed when this process ends, even by SIGKILL: by means of
 * setpriv(1), and unchanged if there is none, or only that of busybox, which cannot do it.
 */
export function endingWithUs(command: readonly [string, ...string[]]): [string, ...string[]] {
  const setpriv = Bun.which("setpriv", { PATH: process.env["PATH"] ?? "" });
  return setpriv === null || basename(realpathSync(setpriv)) === "busybox"
    ? [...command]
    : [setpriv, "--pdeathsig", "KILL", "--", ...command];
}
