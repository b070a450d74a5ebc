/** `vsockbox exec`: runs a command in the guest as if it were a local one. */
import { existsSync } from "node:fs";
import type { CommandToRun } from "../../agent/client/remote-command.ts";
import { VsockboxError } from "../../errors.ts";
import { STATUS_BROKEN_PIPE, STATUS_TIMED_OUT } from "../../process/exit-status.ts";
import { isBrokenPipe, standardInput, StandardOutput } from "../../io/stdio.ts";
import type { Arguments, Command } from "../../ui/command.ts";
import { say } from "../../ui/report.ts";
import { ExecControl } from "./exec-control.ts";
import { detachCommand } from "./exec-detach.ts";
import { runOnMany } from "./exec-many.ts";
import { eventOutput, type ExecOutput } from "../shared/json-output.ts";
import { execRequest } from "./exec-request.ts";
import { runCommand } from "./exec-run.ts";
import { agentArguments, agentTarget, durationOption } from "../shared/target.ts";
import { runOnTerminal } from "../shared/remote-terminal.ts";
import { SANDBOX_WORDS } from "../../process/sandbox/sandbox.ts";

export const command: Command = {
  name: "exec",
  description: "Run a command in a guest: its input, output and exit status become yours",
  args: {
    target: {
      type: "positional",
      required: true,
      description: "The agent's address; several with commas between",
    },
    shell: {
      type: "string",
      alias: "c",
      valueHint: "LINE",
      description: "Run a line in the user's shell of the guest instead of a command",
    },
    env: {
      type: "string",
      alias: "e",
      valueHint: "NAME=VALUE",
      repeatable: true,
      description: "Set a variable for the command; NAME alone passes on your own value",
    },
    "env-file": {
      type: "string",
      valueHint: "FILE",
      repeatable: true,
      description: "Set the variables of a file, a NAME=VALUE each line",
    },
    cwd: { type: "string", alias: "w", valueHint: "DIR", description: "Run it in this directory" },
    user: {
      type: "string",
      alias: "u",
      valueHint: "USER",
      description: "Run it as uid, uid:gid or a name of the guest",
    },
    timeout: {
      type: "string",
      valueHint: "TIME",
      description: "End it after this long (1.5, 500ms, 2m; 0: never) and exit with 124",
    },
    "no-stdin": { type: "boolean", alias: "n", description: "Give it an empty input" },
    tty: {
      type: "boolean",
      alias: "t",
      description: "Run it on a terminal, joined to yours; output may be redirected, input not",
    },
    interactive: {
      type: "boolean",
      alias: "i",
      description:
        "With --detach: keep its input open for attach; otherwise input is always passed on",
    },
    detach: {
      type: "boolean",
      alias: "d",
      description: "Leave it running in the guest and print its id",
    },
    name: { type: "string", valueHint: "NAME", description: "With --detach: a name for its id" },
    sandbox: {
      type: "string",
      valueHint: "LIST",
      description: `Confine it: ${SANDBOX_WORDS}`,
    },
    ...agentArguments,
    json: { type: "boolean", description: "Print output and exit status as JSON lines" },
  },
  restName: "COMMAND…",
  examples: [
    { command: "vsockbox exec 3 -- uname -a", explanation: "In the VM with CID 3" },
    {
      command: "vsockbox exec hybrid:/run/vm4.vsock -- cat /etc/os-release",
      explanation: "In a Firecracker or Cloud Hypervisor VM",
    },
    {
      command: "vsockbox exec 3 --shell 'dmesg | tail -3'",
      explanation: "A shell line instead of a command",
    },
    {
      command: "tar c src | vsockbox exec 3 --user build --cwd /work -- tar x",
      explanation: "Input, output and errors are streams of any size",
    },
    { command: "vsockbox exec -t 3 -- top", explanation: "On a terminal; `~.` leaves it" },
    {
      command: "vsockbox exec 3,4,web -- uptime",
      explanation: "In several guests at once, without input; each line says where it is from",
    },
    {
      command: "vsockbox exec -d 3 --name build -- make all",
      explanation: "Detached: `vsockbox ps`, `logs`, `attach` and `kill` take the id or the name",
    },
    {
      command: "vsockbox exec 3 --timeout 30 --json -- make test",
      explanation: "For programs: JSON lines, and 124 when time runs out",
    },
    {
      command: "vsockbox exec 3 --cwd /work -- ./configure",
      explanation: "A failed start: 127 not found, 126 not executable, 125 anything else",
    },
  ],
  async run(args) {
    const request = execRequest(args);
    const names = splitTargets(args.required("target"));
    const [name] = names;
    if (args.flag("detach")) {
      refuseTogether(args, "detach", ["timeout"]);
      return detachCommand(args, names, request);
    }
    if (args.flag("tty")) {
      refuseTogether(args, "tty", ["json", "no-stdin", "timeout"]);
      if (names.length > 1) throw usage("--tty needs a single target");
      return runOnTerminal(agentTarget(args, name), request);
    }
    const timeoutMs = durationOption(args, "timeout");
    return names.length > 1
      ? runOnMany(args, names, request, timeoutMs)
      : runOnOne(args, name, request, timeoutMs);
  },
};

async function runOnOne(
  args: Arguments,
  name: string,
  request: CommandToRun,
  timeoutMs: number | undefined,
): Promise<number> {
  using control = new ExecControl();
  const target = agentTarget(args, name, control.signal);
  const output = args.flag("json") ? eventOutput(new StandardOutput(1)) : plainOutput();
  const openInput = args.flag("no-stdin") ? undefined : standardInput;
  try {
    const status = await runCommand(target, { request, openInput, control, output, timeoutMs });
    if (control.timedOut) say(outOfTime(args));
    return status;
  } catch (thrown) {
    if (control.timedOut) {
      say(outOfTime(args));
      return STATUS_TIMED_OUT;
    }
    if (control.interruptStatus !== undefined) return control.interruptStatus;
    if (isBrokenPipe(thrown)) return STATUS_BROKEN_PIPE;
    if (args.flag("json") && thrown instanceof VsockboxError) {
      await output.onError(thrown);
    }
    throw thrown;
  }
}

function outOfTime(args: Arguments): string {
  return `vsockbox: the command was ended: it ran longer than --timeout ${args.string("timeout")}`;
}

/** An address, or several with commas between; a socket's path may itself have commas. */
function splitTargets(text: string): [string, ...string[]] {
  const path = text.replace(/^(?:unix|hybrid):/, "");
  const [first = "", ...more] = existsSync(path) ? [text] : text.split(",");
  const names: [string, ...string[]] = [first, ...more];
  if (names.includes("")) throw usage(`${JSON.stringify(text)} has an empty target`);
  return names;
}

function usage(message: string): VsockboxError {
  return new VsockboxError({ code: "USAGE", operation: "exec", message });
}

function refuseTogether(args: Arguments, option: string, others: readonly string[]): void {
  const other = others.find((name) => args.flag(name) || args.string(name) !== undefined);
  if (other !== undefined) throw usage(`--${option} and --${other} exclude each other`);
}

function plainOutput(): ExecOutput {
  const [stdout, stderr] = [new StandardOutput(1), new StandardOutput(2)];
  return {
    onStdout: (bytes) => stdout.write(bytes),
    onStderr: (bytes) => stderr.write(bytes),
    onExit: () => Promise.resolve(),
    onError: () => Promise.resolve(),
  };
}
