import { afterEach, beforeEach, expect, test } from "bun:test";
import { openPty, setWindowSize } from "../../../src/ffi/pty.ts";
import { closeDescriptor, openPipe } from "../../../src/ffi/socket.ts";
import { getTermios, getWindowSize, setTermios } from "../../../src/ffi/termios.ts";
import { rawSettings } from "../../../src/protocols/terminal/modes.ts";

let pty: ReturnType<typeof openPty>;
beforeEach(() => {
  pty = openPty({ rows: 33, cols: 101 });
});
afterEach(() => {
  closeDescriptor(pty.master);
  closeDescriptor(pty.slave);
});

/** What stty(1), an independent reader, shows. */
const stty = (...words: string[]) =>
  Bun.spawnSync(["stty", ...words], { stdin: Bun.file(pty.path) }).stdout.toString();

const must = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error("it is not a terminal");
  return value;
};

test("settings are as stty shows them, and come back as they were", () => {
  const before = stty("-g");
  const settings = must(getTermios(pty.slave));
  setTermios(pty.slave, rawSettings(settings));
  const raw = stty("-g");
  expect(stty("raw", "-echo")).toBe("");
  expect(stty("-g")).toBe(raw);
  setTermios(pty.slave, settings);
  expect(stty("-g")).toBe(before);
});

test("characters are in their places", () => {
  stty("intr", "^X", "susp", "^Y", "erase", "^H");
  const { characters } = must(getTermios(pty.slave));
  expect([characters[0], characters[10], characters[2]]).toEqual([0x18, 0x19, 0x08]);
});

test("the size of a terminal, and none of anything else", () => {
  expect(getWindowSize(pty.slave)).toEqual({ rows: 33, cols: 101 });
  expect(getWindowSize(pty.master)).toEqual({ rows: 33, cols: 101 });
  setWindowSize(pty.master, { rows: 0, cols: 0 });
  expect(getWindowSize(pty.slave)).toBeUndefined();
  const pipe = openPipe();
  expect(getWindowSize(pipe.read)).toBeUndefined();
  expect(getTermios(pipe.read)).toBeUndefined();
  expect(() => setTermios(pipe.read, must(getTermios(pty.slave)))).toThrow("change terminal");
  closeDescriptor(pipe.read);
  closeDescriptor(pipe.write);
});
