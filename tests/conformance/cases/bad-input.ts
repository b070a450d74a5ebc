/** Limits and bad input: a clear error in the mode's own reply, and only that connection ends. */
import { randomBytes } from "node:crypto";
import { closedWithoutAnswer, exitEnd, holds, refusalIn, same } from "../expect.ts";
import type { Guest } from "../guest.ts";
import { type Case, casesOf } from "../runner.ts";
import {
  describeFrames,
  frame,
  header,
  jsonFrame,
  type RawFrame,
  Type,
  typeName,
} from "../wire.ts";

const COMMANDS = [Type.Exec, Type.ExecStream, Type.ExecPipe, Type.ExecTTY];
const FILES = [Type.WriteFile, Type.ReadFile, Type.ListFiles];
const ALL = [...COMMANDS, Type.PortForward, ...FILES];

/** The same case for each of some modes. */
function inEach(
  modes: readonly number[],
  what: string,
  run: (guest: Guest, mode: number) => Promise<void>,
): Case[] {
  return modes.flatMap((mode) =>
    casesOf("Bad input", "strict", {
      [`${typeName(mode)}: ${what}`]: async (guest) => {
        await run(guest, mode);
        await guest.alive();
      },
    }),
  );
}

async function refuses(guest: Guest, mode: number, payload: string): Promise<void> {
  refusalIn(mode, await guest.sendRaw(frame(mode, payload)));
}

/** The error may come in the mode's own frame or, as the mode is not known yet, in a Stderr frame. */
function refusedUnread(mode: number, frames: readonly RawFrame[]): void {
  const isReason = frames.length > 0 && frames.every(({ type }) => type === Type.Stderr);
  if (!isReason) refusalIn(mode, frames);
}

/** A running command whose session gets a frame that has no place in it. */
async function endsBy(guest: Guest, mode: number, ...bytes: Uint8Array[]): Promise<void> {
  const wire = await guest.start(mode, { command: "echo $$; exec sleep 300", rows: 24, cols: 80 });
  const pid = Number.parseInt(await wire.until(Type.Stdout, "\n"), 10);
  holds(await guest.runs(pid), "the command does not run");
  await wire.send(...bytes);
  const frames = await wire.frames();
  refusalIn(mode, frames);
  await guest.gone(pid);
  await guest.alive();
}

/** What a host that leaves in the middle has sent makes nothing run. */
async function brokenOff(guest: Guest, cut: (whole: Buffer) => Buffer): Promise<void> {
  const scratch = await guest.scratch();
  const whole = jsonFrame(Type.Exec, { command: `echo ran > ${scratch}/ran` });
  const wire = await guest.open();
  await wire.send(cut(whole));
  await wire.endOutput();
  closedWithoutAnswer(await wire.frames());
  const gone = await guest.open();
  await gone.send(cut(whole));
  await Bun.sleep(50);
  gone.close();
  await guest.alive();
  same("files", await guest.sh(`ls ${scratch}`), "");
}

export const badInputCases = [
  ...casesOf("Bad input", "required", {
    "half a header, then a close": (guest) => brokenOff(guest, (whole) => whole.subarray(0, 3)),
    "a header without its payload, then a close": (guest) =>
      brokenOff(guest, (whole) => whole.subarray(0, 5)),
    "half a payload, then a close": (guest) => brokenOff(guest, (whole) => whole.subarray(0, -1)),
    "a connection without a byte": async (guest) => {
      const wire = await guest.open();
      await wire.endOutput();
      same("frames", await wire.frames(), []);
      await guest.alive();
    },
    "broken JSON ends that connection alone": async (guest) => {
      const other = await guest.start(Type.ExecPipe, { command: "cat" });
      await other.send(frame(Type.Stdin, "before "));
      await other.until(Type.Stdout, "before ");
      for (const mode of ALL) await guest.sendRaw(frame(mode, "{"));
      await other.send(frame(Type.Stdin, "after"), frame(Type.Stdin));
      same("the other session", exitEnd(await other.frames()).stdout, "after");
      await guest.alive();
    },
    "random bytes end that connection alone": async (guest) => {
      const other = await guest.start(Type.ExecPipe, { command: "cat" });
      for (let round = 0; round < 20; round++) {
        const wire = await guest.open();
        // Lengths that end, so that no agent waits for bytes that never come.
        await wire.send(frame(18 + round, randomBytes(50)), randomBytes(3));
        await wire.endOutput();
        await wire.frames();
      }
      await other.send(frame(Type.Stdin, "still here"), frame(Type.Stdin));
      same("the other session", exitEnd(await other.frames()).stdout, "still here");
      await guest.alive();
    },
    "an empty command gets an ExecResult or a reason": async (guest) => {
      const frames = await guest.ask(Type.Exec, { command: "" });
      holds(
        frames.every(({ type }) => type === Type.ExecResult || type === Type.Stderr),
        describeFrames(frames),
      );
      await guest.alive();
    },
  }),
  ...inEach(ALL, "broken JSON is refused", (guest, mode) => refuses(guest, mode, '{"command":')),
  ...inEach(ALL, "an empty payload is refused", (guest, mode) => refuses(guest, mode, "")),
  ...inEach(ALL, "JSON that is no object is refused", (guest, mode) => refuses(guest, mode, "[1]")),
  ...inEach(COMMANDS, "a missing command is refused", (guest, mode) => refuses(guest, mode, "{}")),
  ...inEach([Type.Exec], "a field of a wrong type is refused", async (guest, mode) => {
    for (const wrong of [
      { command: 1 },
      { command: "true", args: "x" },
      { command: "true", env: ["A=b"] },
      { command: "true", env: { A: 1 } },
      { command: "true", stdin: "?" },
      { command: "true", working_dir: {} },
      { command: "true", user: 0 },
    ]) {
      await refuses(guest, mode, JSON.stringify(wrong));
    }
  }),
  ...inEach(COMMANDS, "a NUL in the command is refused", async (guest, mode) => {
    const scratch = await guest.scratch();
    await refuses(guest, mode, JSON.stringify({ command: `echo > ${scratch}/ran\0; true` }));
    same("files", await guest.sh(`ls ${scratch}`), "");
  }),
  ...inEach(FILES, "a NUL in the path is refused", async (guest, mode) => {
    const scratch = await guest.scratch();
    const path = mode === Type.WriteFile ? `${scratch}/a\0b` : `${scratch}\0b`;
    await refuses(guest, mode, JSON.stringify({ path, content: "eA==", mode: 0 }));
    same("files", await guest.sh(`ls ${scratch}`), "");
  }),
  ...inEach([Type.WriteFile], "content that is no base64 is refused", async (guest, mode) => {
    const scratch = await guest.scratch();
    await refuses(guest, mode, JSON.stringify({ path: `${scratch}/f`, content: "?", mode: 0 }));
    same("files", await guest.sh(`ls ${scratch}`), "");
  }),
  ...inEach(ALL, "a frame of 4 GiB is refused before its bytes come", async (guest, mode) => {
    refusedUnread(mode, await guest.sendRaw(header(mode, 0xffff_ffff)));
  }),
  ...casesOf("Bad input", "strict", {
    "text of another protocol brings a close": async (guest) => {
      closedWithoutAnswer(await guest.sendRaw(Buffer.from("GET / HTTP/1.1\r\n\r\n")));
      await guest.alive();
    },
    "ExecPipe: a Resize frame has no place": (guest) =>
      endsBy(guest, Type.ExecPipe, frame(Type.Resize, Uint8Array.of(0, 24, 0, 80))),
    "ExecPipe: a second request has no place": (guest) =>
      endsBy(guest, Type.ExecPipe, jsonFrame(Type.Exec, { command: "true" })),
    "ExecPipe: an unknown type has no place": (guest) =>
      endsBy(guest, Type.ExecPipe, frame(200, "?")),
    "ExecTTY: an Exit frame has no place": (guest) =>
      endsBy(guest, Type.ExecTTY, frame(Type.Exit, new Uint8Array(4))),
    "ExecStream: a Resize frame has no place": (guest) =>
      endsBy(guest, Type.ExecStream, frame(Type.Resize, Uint8Array.of(0, 24, 0, 80))),
    "ExecPipe: a Stdin frame of 4 GiB ends the command": (guest) =>
      endsBy(guest, Type.ExecPipe, header(Type.Stdin, 0xffff_ffff)),
    "ExecTTY: a Stdin frame of 4 GiB ends the command": (guest) =>
      endsBy(guest, Type.ExecTTY, header(Type.Stdin, 0xffff_ffff)),
  }),
];
