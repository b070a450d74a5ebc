/** ExecTTY (9): a command on a terminal of its own. */
import { endedBySignal, exitEnd, holds, same } from "../expect.ts";
import type { Guest } from "../guest.ts";
import { casesOf } from "../runner.ts";
import { describeFrames, frame, resizeFrame, Type } from "../wire.ts";

const SIZE = { rows: 24, cols: 80 };

const keys = (text: string) => frame(Type.Stdin, text);

/** Runs a command on a terminal to its end. */
async function onTerminal(guest: Guest, request: Record<string, unknown>) {
  const wire = await guest.start(Type.ExecTTY, { ...SIZE, ...request });
  return exitEnd(await wire.frames());
}

const needStty = (guest: Guest) => guest.need("the guest has no stty", "command -v stty");

/** Says that it is up, then runs until something ends it or half a minute is over. */
const WAIT = "echo up; i=0; while [ $i -lt 300 ]; do sleep 1; i=$((i+1)); done";

export const ttyCases = [
  ...casesOf("ExecTTY (9)", "required", {
    "all three streams are a terminal": async (guest) => {
      const command = "test -t 0 && test -t 1 && test -t 2 && echo terminal; exit 5";
      const { stdout, exitCode } = await onTerminal(guest, { command });
      same("output and exit code", [stdout, exitCode], ["terminal\r\n", 5]);
    },
    "it has the requested size": async (guest) => {
      await needStty(guest);
      const { stdout } = await onTerminal(guest, { command: "stty size", rows: 33, cols: 301 });
      same("size", stdout.trim(), "33 301");
    },
    "it is the controlling terminal": async (guest) => {
      const { stdout } = await onTerminal(guest, { command: "echo controls > /dev/tty" });
      same("output", stdout, "controls\r\n");
    },
    "errors come through the terminal, in Stdout frames": async (guest) => {
      const { stdout, stderr } = await onTerminal(guest, { command: "echo err >&2" });
      same("output", [stdout, stderr], ["err\r\n", ""]);
    },
    "keys go in and are echoed": async (guest) => {
      const wire = await guest.start(Type.ExecTTY, {
        ...SIZE,
        command: 'read line; echo "got $line"; exit 6',
      });
      await wire.send(keys("hello\r"));
      const { stdout, exitCode } = exitEnd(await wire.frames());
      same("exit code", exitCode, 6);
      holds(/hello\r\n[^]*got hello\r\n/.test(stdout), `the output is ${JSON.stringify(stdout)}`);
    },
    "Ctrl-C interrupts": async (guest) => {
      const wire = await guest.start(Type.ExecTTY, {
        ...SIZE,
        command: `trap 'echo interrupted; exit 8' INT; ${WAIT}`,
      });
      await wire.until(Type.Stdout, "up");
      await wire.send(keys("\u0003"));
      const { stdout, exitCode } = exitEnd(await wire.frames());
      same("exit code", exitCode, 8);
      holds(stdout.includes("interrupted"), `the output is ${JSON.stringify(stdout)}`);
    },
    "Ctrl-D ends the input": async (guest) => {
      const wire = await guest.start(Type.ExecTTY, { ...SIZE, command: "echo up; cat; exit 9" });
      await wire.until(Type.Stdout, "up");
      await wire.send(keys("\u0004"));
      same("exit code", exitEnd(await wire.frames()).exitCode, 9);
    },
    "Resize changes the size": async (guest) => {
      await needStty(guest);
      const wire = await guest.start(Type.ExecTTY, {
        ...SIZE,
        command: `echo up; until [ "$(stty size)" = "50 300" ]; do sleep 0.05; done; stty size`,
      });
      await wire.until(Type.Stdout, "up");
      await wire.send(resizeFrame(50, 300));
      const { stdout } = exitEnd(await wire.frames());
      holds(/\b50 300\r\n/.test(stdout), `the output is ${JSON.stringify(stdout)}`);
    },
    "Resize comes to the program as SIGWINCH": async (guest) => {
      const wire = await guest.start(Type.ExecTTY, {
        ...SIZE,
        command: `trap 'echo resized; exit 3' WINCH; ${WAIT}`,
      });
      await wire.until(Type.Stdout, "up");
      await wire.send(resizeFrame(50, 132));
      const { stdout, exitCode } = exitEnd(await wire.frames());
      same("exit code", exitCode, 3);
      holds(stdout.includes("resized"), `the output is ${JSON.stringify(stdout)}`);
    },
    "a Signal frame reaches the command": async (guest) => {
      const wire = await guest.start(Type.ExecTTY, {
        ...SIZE,
        command: `trap 'echo signalled; exit 7' TERM; ${WAIT}`,
      });
      await wire.until(Type.Stdout, "up");
      await wire.send(frame(Type.Signal, Uint8Array.of(15)));
      const { stdout, exitCode } = exitEnd(await wire.frames());
      same("exit code", exitCode, 7);
      holds(stdout.includes("signalled"), `the output is ${JSON.stringify(stdout)}`);
    },
    "a command that a signal ended": async (guest) => {
      const { exitCode } = await onTerminal(guest, { command: "kill -9 $$" });
      endedBySignal(exitCode, 9);
    },
    "env and working_dir": async (guest) => {
      const scratch = await guest.scratch();
      const wanted = (await guest.sh(`cd ${scratch} && pwd -P`)).trim();
      const { stdout } = await onTerminal(guest, {
        command: "pwd -P; echo $A",
        working_dir: scratch,
        env: { A: "b" },
      });
      same("output", stdout, `${wanted}\r\nb\r\n`);
    },
    "1 MB comes whole": async (guest) => {
      const command = "head -c 1000000 /dev/zero; echo end";
      const { stdout } = await onTerminal(guest, { command });
      same("bytes", [stdout.length, stdout.slice(-5)], [1_000_005, "end\r\n"]);
    },
    "null and left-out fields": async (guest) => {
      const wire = await guest.start(Type.ExecTTY, {
        command: "echo ran",
        args: null,
        working_dir: null,
        user: null,
      });
      same("output", exitEnd(await wire.frames()).stdout, "ran\r\n");
    },
    "a start that fails ends with Exit and another code than 0": async (guest) => {
      const { exitCode } = await onTerminal(guest, {
        command: "true",
        working_dir: "/no/such/directory",
      });
      holds(exitCode !== 0, "the exit code is 0");
      await guest.alive();
    },
  }),
  ...casesOf("ExecTTY (9)", "strict", {
    "args are honoured": async (guest) => {
      const { stdout } = await onTerminal(guest, {
        command: "printf",
        args: ["%s|", "a b", "$HOME"],
      });
      same("output", stdout, "a b|$HOME|");
    },
    "an empty Stdin frame is no end of input": async (guest) => {
      const wire = await guest.start(Type.ExecTTY, {
        ...SIZE,
        command: 'echo up; read line; echo "got $line"',
      });
      await wire.until(Type.Stdout, "up");
      await wire.send(frame(Type.Stdin), keys("more\r"));
      const frames = await wire.frames();
      holds(exitEnd(frames).stdout.includes("got more"), `saw ${describeFrames(frames)}`);
    },
  }),
];
