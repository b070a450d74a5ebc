/**
 * The modes that a program has switched on in a terminal, followed in its output.
 *
 * Full-screen programs switch modes on at their start and off at their end: the alternate screen, mouse
 * reports, bracketed paste, a hidden cursor. If the connection to such a program is lost, its end never
 * comes, so the client has to reset what is still on. Sequences: ECMA-48, section 5.4 (CSI), and
 * xterm's "Control Sequences" for the numbers of private modes.
 *
 * The parser has four states: text; after ESC; in a control sequence (ESC `[`, parameters, a final byte
 * from `@` to `~`); in a control string (ESC `]`, `P`, `X`, `^` or `_`, up to BEL or the next ESC). It
 * keeps a bounded part of a sequence, and nothing of the text.
 */

const ESCAPE = 0x1b;
const BELL = 0x07;
const CANCEL = 0x18;
const SUBSTITUTE = 0x1a;

/** Longest parameters that are kept; a longer sequence is ignored. */
const MAX_PARAMETERS = 64;

/** Private modes that are off in a terminal at rest, in the order in which they are reset. */
const OFF_AT_REST = [
  // Synchronized output.
  2026,
  // Mouse reports, their encodings, and focus reports.
  ...[9, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016],
  // Bracketed paste, application cursor keys and keypad, reverse video.
  ...[2004, 1, 66, 5],
];

/** Private modes that are on in a terminal at rest: wrapping, and the cursor. */
const ON_AT_REST = [7, 25];

/** Alternate screens. */
const ALTERNATE_SCREENS = [47, 1047, 1049];

const FOLLOWED = new Set([...OFF_AT_REST, ...ON_AT_REST, ...ALTERNATE_SCREENS]);

type State = "text" | "escape" | "sequence" | "string";

/** Follows the output of a terminal's programs, which may be split into chunks anywhere. */
export class ScreenModes {
  #state: State = "text";
  #parameters = "";
  /** Modes that are not as they are at rest. */
  readonly #changed = new Set<number>();
  #hasKeypad = false;
  #hasAttributes = false;
  #hasMargins = false;
  #isAtLineStart = true;
  /** The column of the main screen, to which the cursor returns from an alternate one. */
  #mainAtLineStart = true;

  /** Follows the next bytes of output. */
  push(output: Uint8Array): void {
    for (const byte of output) this.#accept(byte);
  }

  /** Whether the cursor is in the first column, as far as the output shows. */
  get isAtLineStart(): boolean {
    return this.#isAtLineStart;
  }

  /**
   * Returns the sequences that reset everything that is on, and regards them as written. Empty if the
   * terminal is at rest.
   */
  reset(): string {
    const alternate = ALTERNATE_SCREENS.filter((mode) => this.#changed.has(mode));
    // It moves the cursor, which the end of an alternate screen puts back.
    const margins = alternate.length > 0 ? "\u001B[r" : "\u001B7\u001B[r\u001B8";
    const sequences = [
      this.#state === "string" ? "\u001B\\" : this.#state === "text" ? "" : "\u0018",
      ...OFF_AT_REST.filter((mode) => this.#changed.has(mode)).map((mode) => `\u001B[?${mode}l`),
      this.#hasKeypad ? "\u001B>" : "",
      this.#hasAttributes ? "\u001B[m" : "",
      this.#hasMargins ? margins : "",
      ...alternate.map((mode) => `\u001B[?${mode}l`),
      ...ON_AT_REST.filter((mode) => this.#changed.has(mode)).map((mode) => `\u001B[?${mode}h`),
    ];
    if (alternate.length > 0) this.#isAtLineStart = this.#mainAtLineStart;
    this.#atRest();
    this.#state = "text";
    return sequences.join("");
  }

  #atRest(): void {
    this.#changed.clear();
    this.#hasKeypad = false;
    this.#hasAttributes = false;
    this.#hasMargins = false;
  }

  #accept(byte: number): void {
    if (byte === ESCAPE) this.#state = "escape";
    else if (byte === CANCEL || byte === SUBSTITUTE) this.#state = "text";
    else if (this.#state === "escape") this.#afterEscape(byte);
    else if (this.#state === "sequence") this.#inSequence(byte);
    else if (this.#state === "string") this.#state = byte === BELL ? "text" : "string";
    else this.#inText(byte);
  }

  #inText(byte: number): void {
    if (byte === 0x0d) this.#isAtLineStart = true;
    else if (byte === 0x09 || (byte >= 0x20 && byte !== 0x7f)) this.#isAtLineStart = false;
  }

  #afterEscape(byte: number): void {
    const character = String.fromCharCode(byte);
    this.#state = "text";
    if (character === "[") {
      this.#state = "sequence";
      this.#parameters = "";
    } else if ("]PX^_".includes(character)) this.#state = "string";
    // Designations of character sets have one more byte, which is not shown.
    else if (byte >= 0x20 && byte < 0x30) this.#state = "escape";
    else if (character === "=") this.#hasKeypad = true;
    else if (character === ">") this.#hasKeypad = false;
    else if (character === "E") this.#isAtLineStart = true;
    else if (character === "c") {
      this.#atRest();
      this.#isAtLineStart = true;
    }
  }

  #inSequence(byte: number): void {
    if (byte < 0x20) return this.#inText(byte);
    if (byte < 0x40) {
      if (this.#parameters.length <= MAX_PARAMETERS) this.#parameters += String.fromCharCode(byte);
      return;
    }
    this.#state = "text";
    if (this.#parameters.length <= MAX_PARAMETERS) this.#apply(String.fromCharCode(byte));
  }

  #apply(final: string): void {
    const parameters = this.#parameters;
    if (parameters.startsWith("?")) {
      const isOn = final === "h";
      if (!isOn && final !== "l") return;
      for (const mode of parameters.slice(1).split(";")) this.#setMode(Number(mode), isOn);
    } else if (parameters === "!" && final === "p") {
      // The soft reset leaves the screen, the mouse and bracketed paste as they are.
      for (const mode of [1, 66, 7, 25]) this.#changed.delete(mode);
      this.#hasKeypad = this.#hasAttributes = this.#hasMargins = false;
    } else if (/^[0-9;:]*$/.test(parameters)) {
      this.#applyPublic(final, parameters);
    }
  }

  #applyPublic(final: string, parameters: string): void {
    const last = parameters.split(";").at(-1) ?? "";
    if (final === "m") this.#hasAttributes = Number(last) !== 0;
    else if (final === "r") this.#hasMargins = parameters !== "";
    else if (final === "E" || final === "F") this.#isAtLineStart = true;
    else if (final === "H" || final === "f") {
      this.#isAtLineStart = Number(parameters.split(";")[1] ?? "1") <= 1;
    } else if (final === "G" || final === "`") this.#isAtLineStart = Number(last) <= 1;
    else if (final === "C" || final === "I") this.#isAtLineStart = false;
  }

  #setMode(mode: number, isOn: boolean): void {
    if (!FOLLOWED.has(mode)) return;
    const isAlternate = ALTERNATE_SCREENS.includes(mode);
    const wasAlternate = ALTERNATE_SCREENS.some((screen) => this.#changed.has(screen));
    if (isOn === ON_AT_REST.includes(mode)) this.#changed.delete(mode);
    else this.#changed.add(mode);
    if (!isAlternate || isOn === wasAlternate) return;
    if (isOn) this.#mainAtLineStart = this.#isAtLineStart;
    else this.#isAtLineStart = this.#mainAtLineStart;
  }
}
