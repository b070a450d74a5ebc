/** The target of commands that name none. */
import { configPath, loadConfiguration } from "./profiles.ts";

/** Names the target of commands that name none; wins over `default:` of the profiles. */
const TARGET_VARIABLE = "VSOCKBOX_TARGET";

/** The settings as help names them. */
export const TARGET_DEFAULT = `${TARGET_VARIABLE}, or \`default\` of the profiles`;

/** A target, and the setting that it is from. */
export interface DefaultTarget {
  /** An address or the name of a profile. */
  text: string;
  origin: string;
}

/**
 * Returns the target of commands that name none.
 *
 * @throws {VsockboxError} CONFIG if the profiles cannot be read.
 */
export function defaultTarget(): DefaultTarget | undefined {
  const variable = process.env[TARGET_VARIABLE] ?? "";
  if (variable !== "") return { text: variable, origin: TARGET_VARIABLE };
  const text = loadConfiguration().defaultTarget;
  return text === undefined ? undefined : { text, origin: `\`default\` of ${configPath()}` };
}

let used: DefaultTarget | undefined;

/**
 * Returns the target of commands that name none, since this command line does not.
 *
 * @throws {VsockboxError} CONFIG as {@link defaultTarget}.
 */
export function useDefaultTarget(): string | undefined {
  used = defaultTarget();
  return used?.text;
}

/** Returns the setting that a target of this command line is from; undefined: the command line itself. */
export function originOfTarget(text: string | undefined): string | undefined {
  return used !== undefined && used.text === text ? used.origin : undefined;
}
