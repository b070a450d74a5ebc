/** Exec (1): a command and one ExecResult. */
import { endedBySignal, holds, same } from "../expect.ts";
import { casesOf } from "../runner.ts";
import { frame, Type } from "../wire.ts";
import { execResult } from "../expect.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");

/** A shell line that prints every byte value once, in order. */
const ALL_BYTES = `i=0; while [ $i -lt 256 ]; do printf "\\\\$(printf %03o $i)"; i=$((i+1)); done`;

export const execCases = [
  ...casesOf("Exec (1)", "required", {
    "output, errors and exit code come in one ExecResult": async (guest) => {
      const result = await guest.exec({ command: "echo out; echo err >&2; exit 3" });
      same(
        "result",
        [result.exitCode, result.stdout.toString(), result.stderr.toString(), result.error],
        [3, "out\n", "err\n", ""],
      );
    },
    "the command is a shell line": async (guest) => {
      const line = `a="b c"; for x in $a; do echo "<$x>"; done | cat; (exit 7) || echo or`;
      same("output", await guest.sh(line), "<b>\n<c>\nor\n");
    },
    "exit code 0 without output": async (guest) => {
      const result = await guest.exec({ command: "true" });
      same(
        "result",
        [result.exitCode, result.stdout.length, result.stderr.length, result.error],
        [0, 0, 0, ""],
      );
      await guest.alive();
    },
    "exit code 255": async (guest) => {
      same("exit code", (await guest.exec({ command: "exit 255" })).exitCode, 255);
    },
    "a program that is not there is the shell's 127": async (guest) => {
      const result = await guest.exec({ command: "no-such-program-here" });
      same("exit code", result.exitCode, 127);
      holds(result.stderr.length > 0, "the shell's words are missing");
    },
    "a command that a signal ended": async (guest) => {
      endedBySignal((await guest.exec({ command: "kill -9 $$" })).exitCode, 9);
    },
    "env is added to the agent's environment": async (guest) => {
      const result = await guest.exec({
        command: 'echo "$A|$B|${PATH:+has path}"',
        env: { A: "one two", B: "it's $HOME" },
      });
      same("output", result.stdout.toString(), "one two|it's $HOME|has path\n");
    },
    "env leaves the rest of the agent's environment as it was": async (guest) => {
      // What a shell sets by itself differs from run to run.
      const line = "env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= -e ^OLDPWD= -e ^ADDED= | sort";
      const own = await guest.sh(line);
      const result = await guest.exec({ command: `${line}; echo $ADDED`, env: { ADDED: "added" } });
      const seen = result.stdout.toString().split("\n");
      // Names alone go into the report: the values are nobody's business.
      const missing = own.split("\n").filter((setting) => !seen.includes(setting));
      same(
        "missing variables",
        missing.map((setting) => setting.split("=")[0]),
        [],
      );
      holds(seen.includes("added"), "the request's own variable is missing");
    },
    "env of one request is not there in the next": async (guest) => {
      const line = "echo ${LEAKED:-none}";
      const first = await guest.exec({ command: line, env: { LEAKED: "secret" } });
      same("output", [first.stdout.toString(), await guest.sh(line)], ["secret\n", "none\n"]);
    },
    working_dir: async (guest) => {
      const scratch = await guest.scratch();
      const result = await guest.exec({ command: "pwd -P", working_dir: scratch });
      const wanted = await guest.sh(`cd ${scratch} && pwd -P`);
      holds(wanted.startsWith("/"), `pwd -P gave ${JSON.stringify(wanted)}`);
      same("directory", result.stdout.toString(), wanted);
    },
    "a working_dir that is not there: exit code 1 and error": async (guest) => {
      const scratch = await guest.scratch();
      const result = await guest.exec({
        command: `echo ran > ${scratch}/ran`,
        working_dir: `${scratch}/missing`,
      });
      same("exit code", result.exitCode, 1);
      holds(result.error !== "", "there is no error");
      same("files", await guest.sh(`ls ${scratch}`), "");
    },
    "output of any bytes": async (guest) => {
      const { stdout } = await guest.exec({ command: ALL_BYTES });
      same("bytes", stdout, Buffer.from(Uint8Array.from({ length: 256 }, (_, index) => index)));
    },
    "much output on both streams at once": async (guest) => {
      const result = await guest.exec({
        command: "head -c 1000000 /dev/zero & head -c 1000000 /dev/zero >&2; wait",
      });
      same("bytes", [result.stdout.length, result.stderr.length], [1_000_000, 1_000_000]);
    },
    "without stdin the input is at its end": async (guest) => {
      same("output", await guest.sh("cat; echo end"), "end\n");
    },
    "a long command does not hold up other connections": async (guest) => {
      const go = `${await guest.scratch()}/go`;
      const wait = `while [ ! -e ${go} ]; do sleep 0.1; done`;
      const wire = await guest.start(Type.Exec, { command: `${wait}; echo slow` });
      // The first command ends after the second: if that had to wait, the case would run out of time.
      await guest.alive();
      await guest.sh(`: > ${go}`);
      same("output", execResult(await wire.frames()).stdout.toString(), "slow\n");
    },
    "twenty connections at once": async (guest) => {
      const numbers = Array.from({ length: 20 }, (_, index) => `${index}\n`);
      const outputs = await Promise.all(numbers.map((line) => guest.sh(`echo ${line}`)));
      same("outputs", outputs, numbers);
    },
  }),
  ...casesOf("JSON", "required", {
    "null is as good as left out": async (guest) => {
      const result = await guest.exec({
        command: "cat; echo ran",
        args: null,
        working_dir: null,
        env: null,
        stdin: null,
        user: null,
      });
      same("output", [result.stdout.toString(), result.error], ["ran\n", ""]);
    },
    "empty values are as good as left out": async (guest) => {
      const result = await guest.exec({
        command: "cat; echo ran $0",
        args: [],
        working_dir: "",
        env: {},
        stdin: "",
        user: "",
      });
      same("output", [result.stdout.toString().slice(0, 4), result.error], ["ran ", ""]);
    },
    "fields that nobody knows are passed over": async (guest) => {
      const result = await guest.exec({ command: "echo ran", later: { version: 2 } });
      same("output", result.stdout.toString(), "ran\n");
    },
    "escapes as Go's encoder writes them": async (guest) => {
      const payload = String.raw`{"command":"echo a \u003e\u00262 \u0026\u0026 echo b"}`;
      const { stdout, stderr } = execResult(await guest.sendRaw(frame(Type.Exec, payload)));
      same("output", [stdout.toString(), stderr.toString()], ["b\n", "a\n"]);
    },
    "white space between the tokens": async (guest) => {
      const payload = '\n{ "command" :\t"echo ran" ,\r\n "env" : { } }\n';
      const { stdout } = execResult(await guest.sendRaw(frame(Type.Exec, payload)));
      same("output", stdout.toString(), "ran\n");
    },
    "text is UTF-8": async (guest) => {
      const result = await guest.exec({ command: "echo 'grüße €' \"$A\"", env: { A: "😀" } });
      same("output", result.stdout.toString(), "grüße € 😀\n");
    },
  }),
  ...casesOf("Exec (1)", "strict", {
    "stdin is fed to the process": async (guest) => {
      const result = await guest.exec({ command: "cat; echo end", stdin: base64("in\0\n") });
      same("output", result.stdout.toString(), "in\0\nend\n");
    },
    "stdin of 1 MB": async (guest) => {
      const stdin = Buffer.alloc(1_000_000, 65).toString("base64");
      const result = await guest.exec({ command: "wc -c", stdin });
      same("output", result.stdout.toString().trim(), "1000000");
    },
    "a command that reads none of its stdin": async (guest) => {
      const stdin = Buffer.alloc(1_000_000, 65).toString("base64");
      same("exit code", (await guest.exec({ command: "exit 4", stdin })).exitCode, 4);
    },
    "args: the program itself, without a shell": async (guest) => {
      const args = ["%s|", "a b", "$HOME", "", "it's", "*", "x;y"];
      const result = await guest.exec({ command: "printf", args });
      same("output", result.stdout.toString(), "a b|$HOME||it's|*|x;y|");
    },
    "args: a command with blanks is one name": async (guest) => {
      const result = await guest.exec({ command: "echo a", args: ["b"] });
      holds(result.exitCode !== 0, "exit code is 0");
      holds(result.error !== "", "there is no error");
    },
  }),
];
