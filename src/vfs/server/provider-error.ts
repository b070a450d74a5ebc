/** Errors that a provider of files throws for its guest. */

/** An error whose code is the name of an errno, which the guest gets. */
export class ProviderError extends Error {
  override readonly name = "ProviderError";
  /** Such as `ENOENT`. */
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

/** Returns the directory of a path; of a name in the root the empty path. */
export function directoryOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

/** Returns the last name of a path. */
export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Returns the path of a name in a directory. */
export function pathIn(directory: string, name: string): string {
  return directory === "" ? name : `${directory}/${name}`;
}
