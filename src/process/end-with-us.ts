/** Programs that must not outlive this one. */

/**
 * A command that is killed when this process is gone, even when that was killed itself: by means of
 * setpriv(1), and unchanged where there is none.
 */
export function endingWithUs(command: readonly [string, ...string[]]): [string, ...string[]] {
  const setpriv = Bun.which("setpriv");
  return setpriv === null ? [...command] : [setpriv, "--pdeathsig", "KILL", "--", ...command];
}
