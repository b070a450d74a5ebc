/** `vsockbox exec`: runs a command in the guest as if it were a local one. */
import type { CommandToRun } from "../../agent/client/remote-command.ts";
import { commandLineError, VsockboxError } from "../../errors.ts";
import { STATUS_BROKEN_PIPE, STATUS_TIMED_OUT } from "../../process/exit-status.ts";
import { isBrokenPipe, standardInput, StandardOutput } from "../../io/stdio.ts";
import { say } from "../../ui/report.ts";
import { ExecControl } from "./exec-control.ts";
import { eventOutput, type ExecOutput } from "../shared/json-output.ts";
import { formatDuration } from "../../text/units.ts";
import { readAddress } from "../shared/address-kind.ts";
import { execArguments, type ExecValues } from "./exec-arguments.ts";
import { execRequest } from "./exec-request.ts";
import { runCommand } from "./exec-run.ts";
import { agentTarget, askForTarget } from "../shared/target.ts";
import { commonUser, splitTargets, splitUser } from "../shared/target-list.ts";
import { defineCommand } from "../../ui/command-definition.ts";

export const command = defineCommand({
  name: "exec",
  group: "Run commands",
  summary: "Run a command in a guest",
  args: execArguments,
  conflicts: {
    detach: ["timeout"],
    tty: ["timeout"],
    shell: ["words"],
  },
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
    {
      command: "vsockbox exec build@web -- make test",
      explanation: "As the user build of the guest, with a profile as the target",
    },
    { command: "vsockbox exec -t 3 -- top", explanation: "On a terminal; `~.` ends the session" },
    {
      command: "vsockbox exec 3,4,web -- uptime",
      explanation: "In several guests at once, without input; each line shows its guest",
    },
    {
      command: "vsockbox exec -d 3 --name build -- make all",
      explanation: "Detached: `vsockbox ps`, `logs`, `attach` and `kill` accept the id or the name",
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
  // Without a command there is nothing to be run in the target.
  ask: (words, exec) => (words.length === 0 ? Promise.resolve(words) : askForTarget(words, exec)),
  async run(given) {
    const targets = splitTargets("exec", given.target).map(splitUser);
    const args = { ...given, user: commonUser("exec", given.user, targets) };
    const request = execRequest(args);
    const names = targets.map(({ target }) => target);
    const [name = ""] = names;
    if (args.detach) {
      const { detachCommand } = await import("./exec-detach.ts");
      return detachCommand(args, names, request);
    }
    if (args.tty) {
      // A detached command on a terminal has neither input nor output here.
      if (args.json) throw usage("--tty cannot be used with --json");
      if (args.noStdin) throw usage("--tty cannot be used with --no-stdin");
      if (names.length > 1) throw usage("--tty needs a single target");
      const { runOnTerminal } = await import("../shared/remote-terminal.ts");
      return runOnTerminal(agentTarget(args, readAddress(name)), request);
    }
    const timeoutMs = args.timeout || undefined;
    if (names.length === 1) return runOnOne(args, name, request, timeoutMs);
    const { runOnMany } = await import("./exec-many.ts");
    return runOnMany(args, names, request, timeoutMs);
  },
});

async function runOnOne(
  args: ExecValues,
  name: string,
  request: CommandToRun,
  timeoutMs: number | undefined,
): Promise<number> {
  using control = new ExecControl();
  const target = agentTarget(args, readAddress(name), control.signal);
  const output = args.json ? eventOutput(new StandardOutput(1)) : plainOutput();
  const openInput = args.noStdin ? undefined : standardInput;
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
    if (args.json && thrown instanceof VsockboxError) {
      await output.onError(thrown);
    }
    throw thrown;
  }
}

function outOfTime(args: ExecValues): string {
  return `vsockbox: the command was ended: it ran longer than --timeout ${formatDuration(args.timeout ?? 0)}`;
}

function usage(message: string): VsockboxError {
  return commandLineError("exec", message);
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
