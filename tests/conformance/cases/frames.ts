/** The frame itself, and what no session begins with. */
import { closedWithoutAnswer, execResult, exitEnd, holds, onlyReason, same } from "../expect.ts";
import type { Guest } from "../guest.ts";
import { casesOf } from "../runner.ts";
import { describeFrames, frame, header, jsonFrame, Type, typeName } from "../wire.ts";

/** Types that only come inside a session, or only from the guest. */
const NO_BEGINNING = [
  Type.ExecResult,
  Type.Stdout,
  Type.Stderr,
  Type.Signal,
  Type.Ready,
  Type.Stdin,
  Type.Resize,
  Type.Exit,
  Type.FileResult,
];

const UNKNOWN = [0, 18, 63, 255];

async function bringsClose(guest: Guest, type: number): Promise<void> {
  closedWithoutAnswer(await guest.ask(type, { command: "true" }));
  await guest.alive();
}

async function oneByOne(guest: Guest, bytes: Uint8Array) {
  const wire = await guest.open();
  for (const byte of bytes) {
    await wire.send(Uint8Array.of(byte));
    await Bun.sleep(1);
  }
  return wire.frames();
}

export const frameCases = [
  ...casesOf("Frame", "required", {
    "a request cut into single bytes is one request": async (guest) => {
      const frames = await oneByOne(guest, jsonFrame(Type.Exec, { command: "echo whole" }));
      same("output", execResult(frames).stdout.toString(), "whole\n");
    },
    "a session's frames cut into single bytes": async (guest) => {
      const frames = await oneByOne(
        guest,
        Buffer.concat([
          jsonFrame(Type.ExecPipe, { command: "cat" }),
          frame(Type.Stdin, "cut "),
          frame(Type.Stdin, "up"),
          frame(Type.Stdin),
        ]),
      );
      same("output", exitEnd(frames).stdout, "cut up");
    },
    "header and payload in two writes": async (guest) => {
      const payload = Buffer.from(JSON.stringify({ command: "echo two" }));
      const wire = await guest.open();
      await wire.send(header(Type.Exec, payload.length));
      await Bun.sleep(100);
      await wire.send(payload);
      same("output", execResult(await wire.frames()).stdout.toString(), "two\n");
    },
    "several frames in one write": async (guest) => {
      const frames = await guest.sendRaw(
        Buffer.concat([
          jsonFrame(Type.ExecPipe, { command: "cat; exit 3" }),
          frame(Type.Stdin, "a"),
          frame(Type.Stdin, "b"),
          frame(Type.Stdin),
        ]),
      );
      const { stdout, exitCode } = exitEnd(frames);
      same("output and exit code", [stdout, exitCode], ["ab", 3]);
    },
    "a length that needs three bytes is big-endian": async (guest) => {
      const command = `: ${"x".repeat(70_000)}; echo long`;
      same("output", (await guest.exec({ command })).stdout.toString(), "long\n");
    },
  }),
  ...casesOf(
    "Frame table",
    "required",
    Object.fromEntries(
      NO_BEGINNING.map((type) => [
        `${typeName(type)} (${type}) begins no session`,
        (guest: Guest) => bringsClose(guest, type),
      ]),
    ),
  ),
  ...casesOf(
    "Unknown type",
    "required",
    Object.fromEntries(
      UNKNOWN.map((type) => [
        `type ${type} brings a close`,
        (guest: Guest) => bringsClose(guest, type),
      ]),
    ),
  ),
  ...casesOf("Unknown type", "strict", {
    "a Stderr frame says so before the close": async (guest: Guest) => {
      onlyReason(await guest.ask(18, {}));
      await guest.alive();
    },
    "without a payload, too": async (guest) => {
      onlyReason(await guest.sendRaw(frame(200)));
      await guest.alive();
    },
  }),
  ...casesOf("Extensions", "required", {
    "type 64 brings a Hello answer or a close": async (guest) => {
      const wire = await guest.open();
      await wire.send(jsonFrame(Type.Hello, { version: 1, features: [] }));
      const first = await wire.next();
      if (first?.type !== Type.Hello) {
        closedWithoutAnswer([...(first === undefined ? [] : [first]), ...(await wire.frames())]);
      } else {
        const hello: unknown = JSON.parse(first.payload.toString());
        holds(typeof hello === "object" && hello !== null, describeFrames([first]));
      }
      await guest.alive();
    },
  }),
];
