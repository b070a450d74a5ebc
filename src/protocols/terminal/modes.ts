/**
 * Terminal modes as they travel from a client to the pseudo-terminal of its command: pairs of an opcode
 * and a value, with the opcodes of RFC 4254, section 8, and IUTF8 of RFC 8160. On either side they stand
 * for bits and characters of Linux's struct termios (asm-generic/termbits.h, equal on x86-64 and arm64).
 * Speeds, character size and parity are not sent: a pseudo-terminal has no line.
 */
import { badField } from "../agent/json-fields.ts";

/** Opcodes and values. Flags are 0 or 1, characters 0 to 255, where 255 is "none". */
export type TerminalModes = readonly (readonly [opcode: number, value: number])[];

/** The parts of struct termios that modes are about. */
export interface TerminalSettings {
  /** c_iflag. */
  input: number;
  /** c_oflag. */
  output: number;
  /** c_lflag. */
  local: number;
  /** c_cc. */
  characters: Uint8Array;
}

/** RFC 4254: no character; _POSIX_VDISABLE of Linux is 0. */
const NO_CHARACTER = 255;
const DISABLED = 0;

/** Upper bound of pairs: the number of opcodes. */
const MAX_PAIRS = 160;

/** Positions in c_cc by opcode: VINTR, VQUIT, VERASE, VKILL, VEOF, VEOL, VEOL2, VSTART, VSTOP, … */
const CHARACTERS: ReadonlyMap<number, number> = new Map([
  [1, 0],
  [2, 1],
  [3, 2],
  [4, 3],
  [5, 4],
  [6, 11],
  [7, 16],
  [8, 8],
  [9, 9],
  [10, 10],
  [12, 12],
  [13, 14],
  [14, 15],
  [16, 7],
  [18, 13],
]);

type FlagField = "input" | "output" | "local";

/** Bits by field and opcode: IGNPAR to IUTF8, ISIG to PENDIN, OPOST to ONLRET. */
const FLAGS: readonly (readonly [FlagField, number, number])[] = [
  ["input", 30, 0o4],
  ["input", 31, 0o10],
  ["input", 32, 0o20],
  ["input", 33, 0o40],
  ["input", 34, 0o100],
  ["input", 35, 0o200],
  ["input", 36, 0o400],
  ["input", 37, 0o1000],
  ["input", 38, 0o2000],
  ["input", 39, 0o4000],
  ["input", 40, 0o10000],
  ["input", 41, 0o20000],
  ["input", 42, 0o40000],
  ["local", 50, 0o1],
  ["local", 51, 0o2],
  ["local", 52, 0o4],
  ["local", 53, 0o10],
  ["local", 54, 0o20],
  ["local", 55, 0o40],
  ["local", 56, 0o100],
  ["local", 57, 0o200],
  ["local", 58, 0o400],
  ["local", 59, 0o100000],
  ["local", 60, 0o1000],
  ["local", 61, 0o4000],
  ["local", 62, 0o40000],
  ["output", 70, 0o1],
  ["output", 71, 0o2],
  ["output", 72, 0o4],
  ["output", 73, 0o10],
  ["output", 74, 0o20],
  ["output", 75, 0o40],
];

/** Returns the modes of a terminal. */
export function modesOf(settings: TerminalSettings): TerminalModes {
  const characters = [...CHARACTERS].map(([opcode, index]): [number, number] => {
    const value = settings.characters[index] ?? DISABLED;
    return [opcode, value === DISABLED ? NO_CHARACTER : value];
  });
  const flags = FLAGS.map(([field, opcode, bit]): [number, number] => [
    opcode,
    (settings[field] & bit) === 0 ? 0 : 1,
  ]);
  return [...characters, ...flags];
}

/** Returns the settings with the modes applied; what the modes do not mention stays. */
export function withModes<T extends TerminalSettings>(settings: T, modes: TerminalModes): T {
  const changed = { ...settings, characters: settings.characters.slice() };
  for (const [opcode, value] of modes) {
    const index = CHARACTERS.get(opcode);
    if (index !== undefined) {
      changed.characters[index] = value === NO_CHARACTER ? DISABLED : value & 0xff;
    }
    const flag = FLAGS.find(([, candidate]) => candidate === opcode);
    if (flag !== undefined) {
      const [field, , bit] = flag;
      changed[field] = value === 0 ? changed[field] & ~bit : changed[field] | bit;
    }
  }
  return changed;
}

/** BRKINT, which has no opcode. */
const BRKINT = 0o2;
/** IGNBRK, as BRKINT. */
const IGNBRK = 0o1;
/** Input flags that cfmakeraw(3) clears besides: PARMRK, ISTRIP, INLCR, IGNCR, ICRNL, IXON. */
const RAW_INPUT = 0o10 | 0o40 | 0o100 | 0o200 | 0o400 | 0o2000;
/** OPOST. */
const RAW_OUTPUT = 0o1;
/** ECHO, ECHONL, ICANON, ISIG, IEXTEN. */
const RAW_LOCAL = 0o10 | 0o100 | 0o2 | 0o1 | 0o100000;
/** VTIME and VMIN: a read returns as soon as there is one byte. */
const VTIME = 5;
const VMIN = 6;

/** Returns the settings of a terminal that changes nothing, in either direction: cfmakeraw(3). */
export function rawSettings<T extends TerminalSettings>(settings: T): T {
  const characters = settings.characters.slice();
  characters[VMIN] = 1;
  characters[VTIME] = 0;
  return {
    ...settings,
    input: settings.input & ~(IGNBRK | BRKINT | RAW_INPUT),
    output: settings.output & ~RAW_OUTPUT,
    local: settings.local & ~RAW_LOCAL,
    characters,
  };
}

/**
 * Reads modes from JSON; unknown opcodes are kept, and have no effect.
 *
 * @throws {VsockboxError} BAD_DATA.
 */
export function readModes(what: string, value: unknown): TerminalModes | undefined {
  if (value === undefined || value === null) return undefined;
  const isNumber = (part: unknown): part is number =>
    typeof part === "number" && Number.isInteger(part) && part >= 0 && part <= 0xffff_ffff;
  const isPair = (item: unknown): item is [number, number] =>
    Array.isArray(item) && item.length === 2 && item.every(isNumber);
  if (Array.isArray(value) && value.length <= MAX_PAIRS && value.every(isPair)) return value;
  throw badField(what, "modes is not a list of opcodes and values");
}
