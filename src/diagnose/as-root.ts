/** Commands for people to run as root. */

/** Returns a command that runs as root: with `sudo` before it for other users. */
export function asRoot(command: string, uid: number): string {
  return uid === 0 ? command : `sudo ${command}`;
}
