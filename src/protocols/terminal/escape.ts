/** The escape keys of an interactive session, as in ssh(1): `~` at the beginning of a line. */

/** What the user asked for with an escape key. */
export type EscapeAction = "disconnect" | "help";

/** Typed bytes without the escape sequences. */
export interface Filtered {
  bytes: Uint8Array;
  /** In order of appearance; nothing typed after "disconnect" is in `bytes`. */
  actions: EscapeAction[];
}

const TILDE = 0x7e;
const DOT = 0x2e;
const QUESTION_MARK = 0x3f;
const CARRIAGE_RETURN = 0x0d;
const LINE_FEED = 0x0a;

/** Shown for `~?`. */
export const ESCAPE_HELP = [
  "~.  leaves the session",
  "~~  sends a tilde",
  "~?  shows this",
  "Escapes are recognised at the beginning of a line only.",
];

/** Filters the escape keys from typed bytes, which may be split into chunks anywhere. */
export class EscapeFilter {
  #atLineStart = true;
  #afterTilde = false;

  /** Filters the next typed bytes. */
  push(typed: Uint8Array): Filtered {
    const bytes: number[] = [];
    const actions: EscapeAction[] = [];
    for (const byte of typed) {
      if (this.#afterTilde) {
        this.#afterTilde = false;
        if (byte === DOT)
          return { bytes: Uint8Array.from(bytes), actions: [...actions, "disconnect"] };
        if (byte === QUESTION_MARK) {
          actions.push("help");
          continue;
        }
        // Any other key: the tilde was meant, and `~~` means one.
        bytes.push(TILDE);
        if (byte === TILDE) {
          this.#atLineStart = false;
          continue;
        }
      } else if (byte === TILDE && this.#atLineStart) {
        this.#afterTilde = true;
        continue;
      }
      bytes.push(byte);
      this.#atLineStart = byte === CARRIAGE_RETURN || byte === LINE_FEED;
    }
    return { bytes: Uint8Array.from(bytes), actions };
  }
}
