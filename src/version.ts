/**
 * Version, commit and target of this program. build.ts defines them; a run from the source tree has none.
 */

declare const VSOCKBOX_VERSION: string | undefined;
declare const VSOCKBOX_COMMIT: string | undefined;
declare const VSOCKBOX_TARGET: string | undefined;

/** The version of package.json. */
export const VERSION: string =
  typeof VSOCKBOX_VERSION === "string" ? VSOCKBOX_VERSION : "0.0.0-source";
/** The commit that it was built from, with `-dirty` if the sources differed from it. */
export const COMMIT: string = typeof VSOCKBOX_COMMIT === "string" ? VSOCKBOX_COMMIT : "source";
/** The target that it was built for, such as `linux-x64`. */
export const TARGET: string =
  typeof VSOCKBOX_TARGET === "string" ? VSOCKBOX_TARGET : `${process.platform}-${process.arch}`;
