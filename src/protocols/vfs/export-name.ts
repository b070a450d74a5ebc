/** Names of exports. */

/** Longest name, in UTF-16 units: NAME_MAX of linux/limits.h, since a directory's name is one. */
export const MAX_EXPORT_NAME_LENGTH = 255;

/** What a name is, for errors. */
export const EXPORT_NAME_RULE = `a name of at most ${MAX_EXPORT_NAME_LENGTH} characters, without slashes and control characters`;

/** Whether an export may have this name: `ADDRESS/NAME` and a line of a log can contain it. */
export function isExportName(name: string): boolean {
  return name !== "" && name.length <= MAX_EXPORT_NAME_LENGTH && !/[/\p{Cc}\p{Cs}]/u.test(name);
}
