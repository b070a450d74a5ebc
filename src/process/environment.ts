/** The environment that commands inherit. */

/** PATH of a command where nobody has set one, as in an init's empty environment. */
export const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** This process's environment as plain strings, with a PATH in it. */
export function ownEnvironment(): Record<string, string> {
  const own: Record<string, string> = { PATH: DEFAULT_PATH };
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined) own[name] = value;
  }
  return own;
}
