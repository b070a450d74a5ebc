/** Programs that must not outlive this one. */
import { realpathSync } from "node:fs";
import { basename } from "node:path";

/**
 * A command that is killed when this process is gone, even when that was killed itself: by means of
 * setpriv(1), and unchanged where there is none, or only busybox's, which cannot do it.
 */
export function endingWithUs(command: readonly [string, ...string[]]): [string, ...string[]] {
  const setpriv = Bun.which("setpriv", { PATH: process.env["PATH"] ?? "" });
  return setpriv === null || basename(realpathSync(setpriv)) === "busybox"
    ? [...command]
    : [setpriv, "--pdeathsig", "KILL", "--", ...command];
}
