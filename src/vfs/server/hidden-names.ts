/** Names that an export hides at every depth: `.ssh`, `*.pem`. */
import { componentMatcher } from "../../files/glob.ts";

const SLASH = 0x2f;

function latin1(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.length).toString("latin1");
}

/** Which names are hidden. A pattern has no slash, so that renaming a directory reveals nothing in it. */
export class HiddenNames {
  readonly #matchers: readonly ((name: string) => boolean)[];

  /** @param patterns as a shell expands them; a leading dot needs no pattern of its own. */
  constructor(patterns: readonly string[]) {
    // As bytes: a name need not be UTF-8.
    this.#matchers = patterns.map((pattern) => componentMatcher(latin1(Buffer.from(pattern))));
  }

  /** Whether nothing is hidden. */
  get isEmpty(): boolean {
    return this.#matchers.length === 0;
  }

  /** Whether a name in any directory is hidden. */
  hides(name: Uint8Array): boolean {
    return this.#matchers.length > 0 && this.#matches(latin1(name));
  }

  /** Whether a path leads through a hidden name or ends with one. */
  hidesPath(path: Uint8Array): boolean {
    if (this.#matchers.length === 0 || path.length === 0) return false;
    return latin1(path)
      .split(String.fromCharCode(SLASH))
      .some((name) => this.#matches(name));
  }

  #matches(name: string): boolean {
    return this.#matchers.some((matches) => matches(name));
  }
}
