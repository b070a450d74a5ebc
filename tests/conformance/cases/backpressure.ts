/** Slow readers, on either side. */
import { exitEnd, holds, same, streamEnd } from "../expect.ts";
import type { Guest } from "../guest.ts";
import { casesOf } from "../runner.ts";
import { bytesOf, frame, type RawFrame, Type } from "../wire.ts";

const STEPS = 200;
const STEP_BYTES = 262_144;

/**
 * A command of 50 MB of output that notes how far it got, and a host that does not read for a while:
 * the command must stand still long before its end, and give all of it later.
 */
async function slowsDown(
  guest: Guest,
  mode: number,
  endOf: (frames: RawFrame[]) => { exitCode: number },
): Promise<void> {
  const folder = await guest.folder();
  const wire = await guest.start(mode, {
    command: `stty -opost 2>/dev/null; i=0; while [ $i -lt ${STEPS} ]; do head -c ${STEP_BYTES} /dev/zero; i=$((i+1)); echo $i > ${folder}/steps; done`,
    rows: 24,
    cols: 80,
  });
  const steps = async () =>
    Number.parseInt(await guest.sh(`cat ${folder}/steps 2>/dev/null; :`), 10);
  let before = -1;
  await guest.eventually(
    "the command to stand still",
    async () => {
      const last = before;
      await Bun.sleep(700);
      before = (await steps()) || 0;
      return before === last;
    },
    10_000,
  );
  holds(before < STEPS, `all ${STEPS * STEP_BYTES} bytes were taken though nobody read`);
  const frames = await wire.frames();
  same("exit code", endOf(frames).exitCode, 0);
  same("bytes", bytesOf(frames, Type.Stdout).length, STEPS * STEP_BYTES);
}

export const backpressureCases = [
  ...casesOf("Backpressure", "required", {
    "ExecStream: a slow host slows the command down": (guest) =>
      slowsDown(guest, Type.ExecStream, streamEnd),
    "ExecPipe: a slow host slows the command down": (guest) =>
      slowsDown(guest, Type.ExecPipe, exitEnd),
    "a command that does not read slows the host down": async (guest) => {
      const wire = await guest.start(Type.ExecPipe, { command: "echo up; exec sleep 20" });
      await wire.until(Type.Stdout, "up\n");
      let taken = 0;
      const piece = frame(Type.Stdin, Buffer.alloc(65_536));
      const push = async () => {
        for (; taken < 64_000_000; taken += piece.length) await wire.send(piece);
      };
      await Promise.race([push(), Bun.sleep(1500)]);
      holds(taken < 64_000_000, `${taken} bytes were taken though nobody read`);
      await guest.alive();
    },
    "a command that reads late gets all of its input": async (guest) => {
      const wire = await guest.start(Type.ExecPipe, { command: "sleep 1; wc -c" });
      void wire.send(
        ...Array.from({ length: 80 }, () => frame(Type.Stdin, Buffer.alloc(100_000))),
        frame(Type.Stdin),
      );
      same("bytes", exitEnd(await wire.frames()).stdout.trim(), "8000000");
    },
    "input and output at once do not block each other": async (guest) => {
      const wire = await guest.start(Type.ExecPipe, { command: "cat" });
      void wire.send(
        ...Array.from({ length: 80 }, () => frame(Type.Stdin, Buffer.alloc(100_000))),
        frame(Type.Stdin),
      );
      await Bun.sleep(500);
      same("bytes", bytesOf(await wire.frames(), Type.Stdout).length, 8_000_000);
    },
    "a slow host does not hold up other connections": async (guest) => {
      const wire = await guest.start(Type.ExecStream, { command: "head -c 30000000 /dev/zero" });
      await Bun.sleep(300);
      const begin = performance.now();
      await guest.alive();
      const took = performance.now() - begin;
      holds(took < 3000, `the second command took ${Math.round(took)} ms`);
      same("bytes", bytesOf(await wire.frames(), Type.Stdout).length, 30_000_000);
    },
  }),
  ...casesOf("Backpressure", "strict", {
    "ExecTTY: a slow host slows the command down": async (guest) => {
      await guest.need("the guest has no stty", "command -v stty");
      await slowsDown(guest, Type.ExecTTY, exitEnd);
    },
  }),
];
