/** ExecStream (11): output as it comes, then the exit code. */
import { endedBySignal, holds, same, streamEnd } from "../expect.ts";
import { casesOf } from "../runner.ts";
import { Type } from "../wire.ts";

export const streamCases = [
  ...casesOf("ExecStream (11)", "required", {
    "Stdout and Stderr frames, then an ExecResult with the exit code": async (guest) => {
      const frames = await guest.ask(Type.ExecStream, {
        command: "echo out; echo err >&2; exit 4",
      });
      same("end", streamEnd(frames), { stdout: "out\n", stderr: "err\n", exitCode: 4, error: "" });
    },
    "output comes while the command runs": async (guest) => {
      const go = `${await guest.scratch()}/go`;
      const wait = `while [ ! -e ${go} ]; do sleep 0.1; done`;
      const wire = await guest.start(Type.ExecStream, { command: `echo one; ${wait}; echo two` });
      // The command ends once its first output is here: if that had to wait, the case would run out of time.
      await wire.until(Type.Stdout, "one\n");
      await guest.sh(`: > ${go}`);
      const { stdout, exitCode } = streamEnd(await wire.frames());
      same("the rest", [stdout, exitCode], ["two\n", 0]);
    },
    "a command without output": async (guest) => {
      const frames = await guest.ask(Type.ExecStream, { command: "exit 9" });
      same("end", streamEnd(frames), { stdout: "", stderr: "", exitCode: 9, error: "" });
    },
    "8 MiB come whole": async (guest) => {
      const command = "head -c 8388607 /dev/zero; echo x";
      const { stdout } = streamEnd(await guest.ask(Type.ExecStream, { command }));
      same("bytes", [stdout.length, stdout.slice(-3)], [8_388_609, "\0x\n"]);
    },
    "a command that a signal ended": async (guest) => {
      const frames = await guest.ask(Type.ExecStream, { command: "echo up; kill -9 $$" });
      const { stdout, exitCode } = streamEnd(frames);
      same("output", stdout, "up\n");
      endedBySignal(exitCode, 9);
    },
    "env and working_dir": async (guest) => {
      const scratch = await guest.scratch();
      const request = { command: "pwd -P; echo $A", working_dir: scratch, env: { A: "b" } };
      const { stdout } = streamEnd(await guest.ask(Type.ExecStream, request));
      same("output", stdout, `${await guest.sh(`cd ${scratch} && pwd -P`)}b\n`);
    },
    "a start that fails: exit code 1 and error": async (guest) => {
      const request = { command: "true", working_dir: "/no/such/directory" };
      const { exitCode, error } = streamEnd(await guest.ask(Type.ExecStream, request));
      same("exit code", exitCode, 1);
      holds(error !== "", "there is no error");
    },
  }),
  ...casesOf("ExecStream (11)", "strict", {
    "args are honoured": async (guest) => {
      const request = { command: "printf", args: ["%s|", "a b", "$HOME"] };
      const { stdout } = streamEnd(await guest.ask(Type.ExecStream, request));
      same("output", stdout, "a b|$HOME|");
    },
    "stdin is fed to the process": async (guest) => {
      const stdin = Buffer.from("fed").toString("base64");
      const { stdout } = streamEnd(await guest.ask(Type.ExecStream, { command: "cat", stdin }));
      same("output", stdout, "fed");
    },
  }),
];
