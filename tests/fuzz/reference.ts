/**
 * Second implementations of what is fuzzed: as simple as they can be, without regard to speed, and
 * with nothing from src/ in them.
 */

/** A frame, or the last one of which not all came. */
export interface ReferenceFrame {
  type: number;
  length: number;
  /** As many bytes of the payload as there are. */
  payload: Uint8Array;
}

/** What a whole input has in it. */
export interface ReferenceFrames {
  frames: ReferenceFrame[];
  /** Where in the input each complete frame ends. */
  ends: number[];
  /** Whether a length is above the limit; nothing behind it counts. */
  isTooLarge: boolean;
  /** Whether it ends between two frames. */
  atBoundary: boolean;
}

/** Cuts a whole input into frames; `later` is the limit behind the first frame. */
export function referenceFrames(input: Uint8Array, limit: number, later: number): ReferenceFrames {
  const result: ReferenceFrames = { frames: [], ends: [], isTooLarge: false, atBoundary: true };
  let at = 0;
  while (at < input.length) {
    const [type = 0, a = 0, b = 0, c = 0, d = 0] = input.subarray(at, at + 5);
    if (input.length - at < 5) {
      result.atBoundary = false;
      return result;
    }
    const length = a * 2 ** 24 + b * 2 ** 16 + c * 2 ** 8 + d;
    const most = result.ends.length === 0 ? limit : later;
    // A Hello is never larger than 64 KiB.
    if (length > (type === 64 ? Math.min(most, 64 * 1024) : most)) {
      result.isTooLarge = true;
      return result;
    }
    const payload = input.subarray(at + 5, at + 5 + length);
    result.frames.push({ type, length, payload });
    at += 5 + payload.length;
    if (payload.length < length) {
      result.atBoundary = false;
      return result;
    }
    result.ends.push(at);
  }
  return result;
}

/** What `OK <port>\n` says, and where it ends; `bad` for anything else, undefined where it is cut. */
export function referenceHandshake(
  input: Uint8Array,
): { port: number; end: number } | "bad" | undefined {
  const newline = input.subarray(0, 32).indexOf(0x0a);
  if (newline === -1) return input.length >= 32 ? "bad" : undefined;
  let line = Buffer.from(input.subarray(0, newline)).toString("latin1");
  if (line.endsWith("\r")) line = line.slice(0, -1);
  if (line.slice(0, 2).toUpperCase() !== "OK" || line[2] !== " ") return "bad";
  let begin = 2;
  while (line[begin] === " ") begin++;
  const digits = line.slice(begin);
  if (digits.length === 0 || digits.length > 10) return "bad";
  let port = 0;
  for (const digit of digits) {
    if (digit < "0" || digit > "9") return "bad";
    port = port * 10 + Number(digit);
  }
  return port > 0xffff_ffff ? "bad" : { port, end: newline + 1 };
}

/** Whether a name matches one component of a pattern: all pairs of their ends, one after the other. */
export function referenceGlob(pattern: string, name: string): boolean {
  // reached[n] is 1 where the pattern so far can stand for the first n characters of the name.
  let reached = new Uint8Array(name.length + 1);
  reached[0] = 1;
  for (let at = 0; at < pattern.length;) {
    const next = new Uint8Array(name.length + 1);
    const { end, accepts } = referenceToken(pattern, at);
    if (accepts === "any") {
      const first = reached.indexOf(1);
      if (first !== -1) next.fill(1, first);
    } else {
      for (let n = 0; n < name.length; n++) {
        if (reached[n] === 1 && accepts(name[n] ?? "")) next[n + 1] = 1;
      }
    }
    reached = next;
    at = end;
  }
  return reached[name.length] === 1;
}

function referenceToken(
  pattern: string,
  at: number,
): { end: number; accepts: "any" | ((character: string) => boolean) } {
  const character = pattern[at] ?? "";
  const is = (wanted: string) => (found: string) => found === wanted;
  if (character === "*") return { end: at + 1, accepts: "any" };
  if (character === "?") return { end: at + 1, accepts: () => true };
  if (character === "\\") return { end: at + 2, accepts: is(pattern[at + 1] ?? "\\") };
  if (character !== "[") return { end: at + 1, accepts: is(character) };
  const negated = pattern[at + 1] === "!" || pattern[at + 1] === "^";
  const begin = at + (negated ? 2 : 1);
  const close = pattern.indexOf("]", begin + 1);
  if (close === -1) return { end: at + 1, accepts: is("[") };
  const members = new Set<number>();
  for (let index = begin; index < close; index++) {
    const low = pattern.charCodeAt(index);
    const isRange = index + 2 < close && pattern[index + 1] === "-";
    const high = isRange ? pattern.charCodeAt(index + 2) : low;
    for (let code = low; code <= high; code++) members.add(code);
    if (isRange) index += 2;
  }
  return { end: close + 1, accepts: (found) => members.has(found.charCodeAt(0)) !== negated };
}

/** Typed keys with the escapes taken out, in one piece. */
export function referenceEscape(typed: Uint8Array): { bytes: number[]; actions: string[] } {
  const bytes: number[] = [];
  const actions: string[] = [];
  let lineStart = true;
  for (let at = 0; at < typed.length; at++) {
    const byte = typed[at] ?? 0;
    if (byte !== 0x7e || !lineStart) {
      bytes.push(byte);
      lineStart = byte === 0x0d || byte === 0x0a;
      continue;
    }
    const next = typed[at + 1];
    // What comes behind the last tilde decides about it.
    if (next === undefined) break;
    at++;
    if (next === 0x2e) return { bytes, actions: [...actions, "disconnect"] };
    if (next === 0x3f) {
      actions.push("help");
      continue;
    }
    bytes.push(0x7e);
    if (next !== 0x7e) bytes.push(next);
    lineStart = next === 0x0d || next === 0x0a;
  }
  return { bytes, actions };
}
