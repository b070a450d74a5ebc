/** ExecPipe (12): input and signals from the host, Exit at the end. */
import { randomBytes } from "node:crypto";
import { endedBySignal, exitEnd, same } from "../expect.ts";
import { casesOf } from "../runner.ts";
import { bytesOf, frame, jsonFrame, Type } from "../wire.ts";

const signal = (number: number) => frame(Type.Signal, Uint8Array.of(number));
const endOfInput = frame(Type.Stdin);

/** Runs until a signal comes or half a minute is over, and says when it is ready for that. */
const UNTIL_SIGNALLED =
  "echo up; i=0; while [ $i -lt 300 ]; do sleep 1 & wait $!; i=$((i+1)); done";

export const pipeCases = [
  ...casesOf("ExecPipe (12)", "required", {
    "Stdin frames go in, an empty one ends the input, Exit is last": async (guest) => {
      const frames = await guest.sendRaw(
        jsonFrame(Type.ExecPipe, { command: "cat; echo err >&2; exit 5" }),
        frame(Type.Stdin, "one "),
        frame(Type.Stdin, "two"),
        endOfInput,
      );
      const seen = exitEnd(frames);
      same("end", seen, { stdout: "one two", stderr: "err\n", exitCode: 5, error: "" });
    },
    "Exit is a u32 in big-endian order": async (guest) => {
      const frames = await guest.sendRaw(
        jsonFrame(Type.ExecPipe, { command: "exit 200" }),
        endOfInput,
      );
      same("payload", bytesOf(frames, Type.Exit).toString("hex"), "000000c8");
    },
    "answers come before the input ends": async (guest) => {
      const wire = await guest.start(Type.ExecPipe, {
        command: 'while read -r line; do echo "got $line"; done; exit 6',
      });
      for (const word of ["a", "b", "c"]) {
        await wire.send(frame(Type.Stdin, `${word}\n`));
        await wire.until(Type.Stdout, `got ${word}\n`);
      }
      await wire.send(endOfInput);
      same("exit code", exitEnd(await wire.frames()).exitCode, 6);
    },
    "any bytes, there and back": async (guest) => {
      const bytes = randomBytes(1_000_000);
      const wire = await guest.start(Type.ExecPipe, { command: "cat" });
      void wire.send(frame(Type.Stdin, bytes), endOfInput);
      const frames = await wire.frames();
      same("exit code", exitEnd(frames).exitCode, 0);
      same("the same bytes", bytesOf(frames, Type.Stdout).equals(bytes), true);
    },
    "2,000 small frames stay in order": async (guest) => {
      const lines = Array.from({ length: 2000 }, (_, index) => `${index}\n`);
      const wire = await guest.start(Type.ExecPipe, { command: "cat" });
      void wire.send(...lines.map((line) => frame(Type.Stdin, line)), endOfInput);
      same("lines", exitEnd(await wire.frames()).stdout, lines.join(""));
    },
    "a command that reads no input": async (guest) => {
      const wire = await guest.start(Type.ExecPipe, { command: "exit 4" });
      await wire.send(frame(Type.Stdin, "nobody reads this"), endOfInput);
      same("exit code", exitEnd(await wire.frames()).exitCode, 4);
    },
    "a Signal frame reaches the command": async (guest) => {
      const wire = await guest.start(Type.ExecPipe, {
        command: `trap 'echo got it; exit 7' USR1; ${UNTIL_SIGNALLED}`,
      });
      await wire.until(Type.Stdout, "up\n");
      await wire.send(signal(10));
      const { stdout, exitCode } = exitEnd(await wire.frames());
      same("output and exit code", [stdout, exitCode], ["got it\n", 7]);
    },
    "a signal goes to the whole process group": async (guest) => {
      const wire = await guest.start(Type.ExecPipe, {
        command: "sleep 300 & echo pid $!; sleep 300; echo never",
      });
      const output = await wire.until(Type.Stdout, "\n");
      await wire.send(signal(15));
      endedBySignal(exitEnd(await wire.frames()).exitCode, 15);
      await guest.gone(Number(output.slice(4)));
    },
    "a command that SIGKILL ended": async (guest) => {
      const wire = await guest.start(Type.ExecPipe, { command: UNTIL_SIGNALLED });
      await wire.until(Type.Stdout, "up\n");
      await wire.send(signal(9));
      endedBySignal(exitEnd(await wire.frames()).exitCode, 9);
    },
    "env and working_dir": async (guest) => {
      const scratch = await guest.scratch();
      const request = { command: "pwd -P; echo $A", working_dir: scratch, env: { A: "b" } };
      const frames = await guest.sendRaw(jsonFrame(Type.ExecPipe, request), endOfInput);
      same("output", exitEnd(frames).stdout, `${await guest.sh(`cd ${scratch} && pwd -P`)}b\n`);
    },
    "a start that fails: Exit 1": async (guest) => {
      const frames = await guest.ask(Type.ExecPipe, {
        command: "true",
        working_dir: "/no/such/directory",
      });
      same("exit code", exitEnd(frames).exitCode, 1);
    },
  }),
  ...casesOf("ExecPipe (12)", "strict", {
    "args are honoured": async (guest) => {
      const request = { command: "printf", args: ["%s|", "a b", "$HOME"] };
      const frames = await guest.sendRaw(jsonFrame(Type.ExecPipe, request), endOfInput);
      same("output", exitEnd(frames).stdout, "a b|$HOME|");
    },
    "signals are taken after the end of the input": async (guest) => {
      const wire = await guest.start(Type.ExecPipe, {
        command: `trap 'exit 7' TERM; ${UNTIL_SIGNALLED}`,
      });
      await wire.send(endOfInput);
      await wire.until(Type.Stdout, "up\n");
      await wire.send(signal(15));
      same("exit code", exitEnd(await wire.frames()).exitCode, 7);
    },
  }),
];
