/** Cancel: what becomes of a command when the host leaves early. */
import { holds, same } from "../expect.ts";
import type { Guest } from "../guest.ts";
import { type Case, casesOf } from "../runner.ts";
import { Type, frame, typeName, type Wire } from "../wire.ts";
import { sendUntilStuck } from "../stuck.ts";

const MODES = [Type.Exec, Type.ExecStream, Type.ExecPipe, Type.ExecTTY] as const;

/** Half a minute of waiting that any signal may cut short. */
const WAIT = "i=0; while [ $i -lt 300 ]; do sleep 1; i=$((i+1)); done";

/** A command that has written its process id, to be left by the host. */
async function started(guest: Guest, mode: number, line: (scratch: string) => string) {
  const scratch = await guest.scratch();
  const command = `${line(scratch)}\necho $$ > ${scratch}/pid; ${WAIT}`;
  const wire = await guest.start(mode, { command, rows: 24, cols: 80 });
  return { wire, scratch, pid: await guest.pidIn(`${scratch}/pid`) };
}

// The shell says of its child that it was terminated, maybe to a pipe or terminal that is closed already.
async function takesGroup(guest: Guest, mode: number): Promise<void> {
  const { wire, scratch, pid } = await started(
    guest,
    mode,
    (path) =>
      `trap '' PIPE HUP; trap 'echo term > ${path}/term; exit' TERM; sleep 300 & echo $! > ${path}/child`,
  );
  const child = await guest.pidIn(`${scratch}/child`);
  holds(await guest.runs(pid), "the command does not run before the host leaves");
  wire.close();
  await Promise.all([guest.gone(pid), guest.gone(child)]);
  same("what the trap of SIGTERM wrote", await guest.sh(`cat ${scratch}/term 2>&1; :`), "term\n");
}

async function killsAfterFiveSeconds(guest: Guest, mode: number): Promise<void> {
  const { wire, scratch, pid } = await started(
    guest,
    mode,
    (path) => `trap '' HUP PIPE; trap 'echo term > ${path}/term' TERM`,
  );
  wire.close();
  await guest.eventually("SIGTERM", async () => (await guest.sh(`ls ${scratch}`)).includes("term"));
  // It went on after SIGTERM: what ends it is SIGKILL.
  holds(await guest.runs(pid), "SIGKILL came together with SIGTERM");
  await guest.gone(pid);
}

function inMode(mode: number): Case[] {
  // The Go agent leaves a command on a terminal alone.
  const level = mode === Type.ExecTTY ? "strict" : "required";
  return casesOf("Cancel", level, {
    [`${typeName(mode)}: SIGTERM for the whole group`]: (guest) => takesGroup(guest, mode),
    [`${typeName(mode)}: SIGKILL five seconds later`]: (guest) =>
      killsAfterFiveSeconds(guest, mode),
  });
}

async function leaves(guest: Guest, mode: number, line: string, before: (wire: Wire) => unknown) {
  const { wire, pid } = await started(guest, mode, () => line);
  await before(wire);
  holds(await guest.runs(pid), "the command does not run before the host leaves");
  wire.close();
  await guest.gone(pid, 8000);
}

export const cancelCases = [
  ...MODES.flatMap(inMode),
  ...casesOf("Cancel", "strict", {
    "ExecPipe: also after the end of the input": (guest) =>
      leaves(guest, Type.ExecPipe, ":", (wire) => wire.send(frame(Type.Stdin))),
    "ExecPipe: also while the command does not read its input": (guest) =>
      leaves(guest, Type.ExecPipe, ":", async (wire) => {
        await sendUntilStuck(wire);
      }),
    "ExecStream: also while the host does not read the output": (guest) =>
      leaves(guest, Type.ExecStream, "(trap '' PIPE; head -c 50000000 /dev/zero) &", () => {}),
    "ExecTTY: jobs in groups of their own, too": async (guest) => {
      const { wire, scratch, pid } = await started(
        guest,
        Type.ExecTTY,
        (path) => `trap '' HUP; set -m; sleep 300 & echo $! > ${path}/child`,
      );
      const child = await guest.pidIn(`${scratch}/child`);
      wire.close();
      await Promise.all([guest.gone(pid, 8000), guest.gone(child, 8000)]);
    },
  }),
];
