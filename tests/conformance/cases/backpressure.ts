/** Slow readers, on either side. */
import { exitEnd, holds, same, streamEnd } from "../expect.ts";
import type { Guest } from "../guest.ts";
import { casesOf } from "../runner.ts";
import { standsStill } from "../../support/process-state.ts";
import { MORE_THAN_BUFFERS_BYTES, sendUntilStuck } from "../stuck.ts";
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
  const scratch = await guest.scratch();
  const wire = await guest.start(mode, {
    command: `stty -opost 2>/dev/null; i=0; while [ $i -lt ${STEPS} ]; do head -c ${STEP_BYTES} /dev/zero; i=$((i+1)); echo $i > ${scratch}/steps; done`,
    rows: 24,
    cols: 80,
  });
  const steps = async () =>
    Number.parseInt(await guest.sh(`cat ${scratch}/steps 2>/dev/null; :`), 10);
  await guest.eventually("the first step", async () => (await steps()) > 0);
  const before = await standsStill("the command stands still", steps);
  holds(before < STEPS, `all ${STEPS * STEP_BYTES} bytes were accepted and not read`);
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
      const wire = await guest.start(Type.ExecPipe, { command: "echo up; exec sleep 300" });
      await wire.until(Type.Stdout, "up\n");
      const accepted = await sendUntilStuck(wire);
      holds(accepted < MORE_THAN_BUFFERS_BYTES, `${accepted} bytes were accepted and not read`);
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
      let sent = 0;
      const send = async () => {
        for (; sent < 80; sent++) await wire.send(frame(Type.Stdin, Buffer.alloc(100_000)));
        await wire.send(frame(Type.Stdin));
      };
      void send();
      await standsStill("no more input is accepted", () => sent);
      same("bytes", bytesOf(await wire.frames(), Type.Stdout).length, 8_000_000);
    },
    "a slow host does not hold up other connections": async (guest) => {
      const wire = await guest.start(Type.ExecStream, { command: "head -c 30000000 /dev/zero" });
      // Output that is not read holds up nothing else: without an answer the case runs out of time.
      await guest.alive();
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
