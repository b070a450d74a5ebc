/**
 * The agent's entry in an /etc/inittab of busybox init, between marks; every other byte stays. Pure:
 * texts are bytes as Latin-1, so that none is lost.
 */
import { VsockboxError } from "../errors.ts";

const BEGIN = "# vsockbox install: begin\n";
const END = "# vsockbox install: end";

/**
 * The entries of busybox init without an /etc/inittab, which an entry of ours must not disable:
 * the defaults of its parse_inittab, with a shell on each console.
 */
const DEFAULTS = `# busybox init's own defaults.
::sysinit:/etc/init.d/rcS
::askfirst:-/bin/sh
tty2::askfirst:-/bin/sh
tty3::askfirst:-/bin/sh
tty4::askfirst:-/bin/sh
::ctrlaltdel:reboot
::shutdown:umount -a -r
::shutdown:swapoff -a
::restart:init
`;

/** The entry that keeps `command` running, with its marks and without an end of line. */
export function inittabEntry(command: string): string {
  return `${BEGIN}::respawn:${command}\n${END}`;
}

/** Returns a whole file, if there is none. */
export function newInittab(entry: string): string {
  return `${DEFAULTS}${entry}\n`;
}

interface Place {
  begin: number;
  end: number;
}

/**
 * Returns our entry in a file's text; undefined if there is none.
 *
 * @throws {VsockboxError} CONFIG if the marks are not one pair.
 */
export function findEntry(text: string): string | undefined {
  const place = findPlace(text);
  return place && text.slice(place.begin, place.end);
}

/**
 * The text with `entry` in the place of ours, or at its end. A last line without its end stays so: the
 * entry's then has none either, by which {@link withoutEntry} knows.
 *
 * @throws {VsockboxError} as {@link findEntry}.
 */
export function withEntry(text: string, entry: string): string {
  const place = findPlace(text);
  if (place !== undefined) return text.slice(0, place.begin) + entry + text.slice(place.end);
  return text === "" || text.endsWith("\n") ? `${text}${entry}\n` : `${text}\n${entry}`;
}

/**
 * The text as it was before {@link withEntry}.
 *
 * @throws {VsockboxError} as {@link findEntry}.
 */
export function withoutEntry(text: string): string {
  const place = findPlace(text);
  if (place === undefined) return text;
  const endsLine = text[place.end] === "\n";
  const before = text.slice(0, place.begin);
  return (endsLine ? before : before.slice(0, -1)) + text.slice(place.end + 1);
}

function findPlace(text: string): Place | undefined {
  const begins = places(text, BEGIN);
  const ends = places(text, END).filter((at) => "\n".includes(text[at + END.length] ?? ""));
  const [begin] = begins;
  const [end] = ends;
  if (begin === undefined && end === undefined) return undefined;
  const isPair = begins.length === 1 && ends.length === 1;
  if (!isPair || begin === undefined || end === undefined || end < begin) {
    throw new VsockboxError({
      code: "CONFIG",
      operation: "edit",
      address: "/etc/inittab",
      message: `the lines "${BEGIN.trim()}" and "${END}" are not one pair in this order`,
      hint: "fix or remove them by hand",
    });
  }
  return { begin, end: end + END.length };
}

/** Returns the offsets of lines that begin with `words`. */
function places(text: string, words: string): number[] {
  const found: number[] = [];
  for (let at = text.indexOf(words); at !== -1; at = text.indexOf(words, at + 1)) {
    if (at === 0 || text[at - 1] === "\n") found.push(at);
  }
  return found;
}
