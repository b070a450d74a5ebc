/**
 * JSON from a peer, or from a file that a peer may have written, with bounded cost.
 *
 * `JSON.parse` allocates up to 80 times its input (nested arrays), cannot be interrupted, and needs
 * no valid input for that. So the bytes are scanned first: one pass, no allocation, that follows
 * strings and brackets and adds up what the runtime will allocate. What nests too deeply, or costs
 * more than {@link COST_FLOOR_BYTES} plus {@link COST_FACTOR} times its size, is refused unparsed.
 *
 * The text and its strings cost at most twice the input on top; if they have to be UTF-16 the strings
 * count as values. A decoder's peak is then at most four times its input plus the floor, which
 * tests/integration/json-memory.test.ts measures.
 */
import { VsockboxError } from "../errors.ts";

/** Levels of arrays and objects in each other. No message of any of our protocols has more than 6. */
export const MAX_JSON_DEPTH = 32;

/** What every text may cost, however small it is, in bytes. */
export const COST_FLOOR_BYTES = 8 * 1024 * 1024;

/** What a byte of the text may cost beyond the floor, in bytes. */
const COST_FACTOR = 2;

// What the runtime allocates, in bytes, rounded up from measurements with Bun 1.4.5.
/** An empty array or object, with its place in an array. */
const CONTAINER_BYTES = 112;
/** A number, true, false or null in an array, which grows by doubling. */
const ELEMENT_BYTES = 16;
/** A string of its own, with its place. */
const STRING_BYTES = 64;
/** An object with a sequence of names that no object before it has. */
const SHAPE_BYTES = 400;
/** A name in an object that is kept as a hash table. */
const TABLE_NAME_BYTES = 64;

/** From so many names on the runtime keeps an object as a hash table. */
const SHAPED_NAMES = 64;

/** Sequences of names that are remembered; a sequence beyond them counts as a new one. */
const MAX_SHAPES = 16_384;

/** Bytes of a string that are checked one by one before the runtime searches for its end. */
const SHORT_STRING_BYTES = 32;

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
/** Blank, tab, line feed, carriage return, and the colon: none of them begins a value. */
const BETWEEN: ReadonlySet<number> = new Set([0x20, 0x09, 0x0a, 0x0d, 0x3a]);

/** From this length on a plain string directly below the root is left out of the parsed text, in bytes. */
const LONG_STRING_BYTES = 64 * 1024;

/** Texts of up to this size are parsed with all their strings, in bytes. */
const WHOLE_TEXT_BYTES = 1024 * 1024;

/** Why a text is not parsed. */
export type JsonExcess = "too deep" | "too many values";

const NO_BYTES = Buffer.alloc(0);

/** The content of a string, without its quotes. */
interface Span {
  begin: number;
  end: number;
}

/**
 * Follows a JSON text through its strings and brackets, and adds up its cost. One is made for all
 * texts: most of them are records of less than 200 bytes.
 */
class Scanner {
  #bytes: Buffer = NO_BYTES;
  #cost = 0;
  /** Whether the runtime keeps the text and its strings as UTF-16. */
  #isWide = false;
  /** Whether the string that was followed last has a backslash. */
  #hasEscapes = false;
  #longStrings: Span[] = [];
  #depth = 0;
  /** By level: whether it is an object, whether a name comes next, how many names it has, its shape. */
  readonly #isObject = new Uint8Array(MAX_JSON_DEPTH + 1);
  readonly #awaitsName = new Uint8Array(MAX_JSON_DEPTH + 1);
  readonly #names = new Uint32Array(MAX_JSON_DEPTH + 1);
  readonly #shape = new Uint32Array(MAX_JSON_DEPTH + 1);
  readonly #shapes = new Set<number>();

  run(text: Uint8Array): { excess: JsonExcess | undefined; longStrings: readonly Span[] } {
    this.#longStrings = [];
    this.#bytes = Buffer.from(text.buffer, text.byteOffset, text.length);
    this.#isWide = text.length > WHOLE_TEXT_BYTES && hasWideCharacter(text);
    this.#cost = 0;
    this.#depth = 0;
    this.#isObject[0] = 0;
    this.#awaitsName[0] = 0;
    const excess = this.#follow(COST_FLOOR_BYTES + COST_FACTOR * text.length);
    this.#bytes = NO_BYTES;
    this.#shapes.clear();
    return { excess, longStrings: this.#longStrings };
  }

  #follow(limitBytes: number): JsonExcess | undefined {
    const bytes = this.#bytes;
    for (let at = 0; at < bytes.length;) {
      const byte = bytes[at] ?? 0;
      if (byte === QUOTE) {
        const end = this.#stringEnd(at + 1);
        this.#onString(at + 1, end);
        at = end + 1;
      } else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
        if (++this.#depth > MAX_JSON_DEPTH) return "too deep";
        this.#open(byte === OPEN_OBJECT);
        at++;
      } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) {
        // The parser stops at a bracket that closes nothing.
        if (this.#depth-- === 0) return undefined;
        at++;
      } else if (byte === COMMA) {
        this.#awaitsName[this.#depth] = this.#isObject[this.#depth] ?? 0;
        at++;
      } else if (BETWEEN.has(byte)) {
        at++;
      } else {
        if (this.#isObject[this.#depth] !== 1) this.#cost += ELEMENT_BYTES;
        at = this.#wordEnd(at);
      }
      if (this.#cost > limitBytes) return "too many values";
    }
    return undefined;
  }

  #open(isObject: boolean): void {
    const depth = this.#depth;
    this.#cost += CONTAINER_BYTES;
    this.#isObject[depth] = isObject ? 1 : 0;
    this.#awaitsName[depth] = isObject ? 1 : 0;
    this.#names[depth] = 0;
    this.#shape[depth] = 0;
  }

  #onString(begin: number, end: number): void {
    const depth = this.#depth;
    if (this.#awaitsName[depth] !== 1) {
      const isLong = end - begin >= LONG_STRING_BYTES && !this.#hasEscapes;
      this.#cost += STRING_BYTES;
      if (isLong && depth === 1 && this.#isObject[1] === 1) this.#longStrings.push({ begin, end });
      else if (this.#isWide) this.#cost += 2 * (end - begin);
      return;
    }
    this.#awaitsName[depth] = 0;
    const count = (this.#names[depth] ?? 0) + 1;
    this.#names[depth] = count;
    if (count > SHAPED_NAMES) {
      this.#cost += TABLE_NAME_BYTES;
      return;
    }
    const shape = this.#nextShape(this.#shape[depth] ?? 0, begin, end);
    this.#shape[depth] = shape;
    if (this.#shapes.has(shape)) return;
    this.#cost += SHAPE_BYTES;
    if (this.#shapes.size < MAX_SHAPES) this.#shapes.add(shape);
  }

  /** FNV-1a over a name, begun with the shape so far. */
  #nextShape(shape: number, begin: number, end: number): number {
    let hash = shape ^ 0x811c_9dc5;
    for (let at = begin; at < end; at++) {
      hash = Math.imul(hash ^ (this.#bytes[at] ?? 0), 0x0100_0193);
    }
    return Math.imul(hash ^ QUOTE, 0x0100_0193) >>> 0;
  }

  /** Returns the index of the closing quote of the string at `begin`; the text's end if it has none. */
  #stringEnd(begin: number): number {
    const bytes = this.#bytes;
    let plain = 0;
    this.#hasEscapes = false;
    for (let at = begin; at < bytes.length;) {
      const byte = bytes[at];
      if (byte === QUOTE) return at;
      if (byte === BACKSLASH) {
        this.#hasEscapes = true;
        at += 2;
        plain = 0;
      } else if (++plain < SHORT_STRING_BYTES) at++;
      else {
        const quote = bytes.indexOf(QUOTE, at);
        if (quote === -1) return bytes.length;
        if (!this.#isEscaped(quote, at)) {
          this.#hasEscapes ||= bytes.subarray(at, quote).includes(BACKSLASH);
          return quote;
        }
        this.#hasEscapes = true;
        at = quote + 1;
        plain = 0;
      }
    }
    return bytes.length;
  }

  /** Whether an odd number of backslashes stands before a quote; none of them before `from`. */
  #isEscaped(quote: number, from: number): boolean {
    let at = quote;
    while (at > from && this.#bytes[at - 1] === BACKSLASH) at--;
    return (quote - at) % 2 === 1;
  }

  #wordEnd(begin: number): number {
    let at = begin + 1;
    for (; at < this.#bytes.length; at++) {
      const byte = this.#bytes[at] ?? 0;
      if (byte === COMMA || byte === CLOSE_ARRAY || byte === CLOSE_OBJECT || byte === QUOTE) break;
      if (byte === OPEN_ARRAY || byte === OPEN_OBJECT || BETWEEN.has(byte)) break;
    }
    return at;
  }
}

/** The lead byte of U+0100 in UTF-8: from there on a character does not fit into one byte. */
const FIRST_WIDE_BYTE = 0xc4;

function hasWideCharacter(text: Uint8Array): boolean {
  for (let at = 0; at < text.length; at++) {
    if ((text[at] ?? 0) >= FIRST_WIDE_BYTE) return true;
  }
  return false;
}

const scanner = new Scanner();

/**
 * Whether parsing a JSON text would cost too much; undefined if it may be parsed. It does not check
 * whether the text is valid.
 */
export function jsonExcess(bytes: Uint8Array): JsonExcess | undefined {
  return scanner.run(bytes).excess;
}

/**
 * A long string of a large text, such as a file in base64: a view of the text, not decoded yet, since
 * a decoded copy of such a text would take twice its size.
 */
export class LongString {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** The string; undefined if it is not one that JSON allows. */
  decode(): string | undefined {
    try {
      const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(this.bytes);
      // oxlint-disable-next-line no-control-regex
      return /[\u0000-\u001F]/.test(text) ? undefined : text;
    } catch {
      return undefined;
    }
  }
}

/** Options of {@link parseJson}. */
export interface ParseJsonOptions {
  /** Largest text, in bytes; unlimited by default, for frames that have a limit already. */
  maxBytes?: number;
  /** In a text of more than 1 MiB, long strings directly below the root become {@link LongString}s. */
  cutsLongStrings?: boolean;
}

/**
 * Parses JSON in UTF-8, after {@link jsonExcess}.
 *
 * @param what the payload's name, for the error.
 * @throws {VsockboxError} BAD_DATA: too large, too deep, too many values, not UTF-8, or not JSON.
 */
export function parseJson(
  what: string,
  bytes: Uint8Array,
  { maxBytes = Number.POSITIVE_INFINITY, cutsLongStrings = false }: ParseJsonOptions = {},
): unknown {
  const bad = (message: string) =>
    new VsockboxError({ code: "BAD_DATA", operation: `read ${what}`, message });
  if (bytes.length > maxBytes) throw bad(`it has more than ${maxBytes} bytes`);
  const { excess, longStrings } = scanner.run(bytes);
  if (excess === "too deep") throw bad(`its JSON is nested more than ${MAX_JSON_DEPTH} deep`);
  if (excess !== undefined) throw bad("its JSON has too many values for its size");
  try {
    return cutsLongStrings && bytes.length > WHOLE_TEXT_BYTES && longStrings.length > 0
      ? parseWithout(bytes, longStrings)
      : parseText(bytes);
  } catch {
    throw bad("the payload is not JSON in UTF-8");
  }
}

function parseText(bytes: Uint8Array): unknown {
  return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
}

/** Parses the text with a short word in place of each long string, then puts views in their place. */
function parseWithout(bytes: Uint8Array, spans: readonly Span[]): unknown {
  // Random: no other value of the text can be equal to it on purpose.
  const word = crypto.randomUUID();
  const pieces: Uint8Array[] = [];
  let from = 0;
  for (const [index, { begin, end }] of spans.entries()) {
    pieces.push(bytes.subarray(from, begin), Buffer.from(`${word}${index}`));
    from = end;
  }
  pieces.push(bytes.subarray(from));
  const value = parseText(Buffer.concat(pieces));
  if (typeof value !== "object" || value === null) return value;
  for (const [name, entry] of Object.entries(value)) {
    if (typeof entry !== "string" || !entry.startsWith(word)) continue;
    const span = spans[Number(entry.slice(word.length))];
    if (span !== undefined) {
      Reflect.set(value, name, new LongString(bytes.subarray(span.begin, span.end)));
    }
  }
  return value;
}
