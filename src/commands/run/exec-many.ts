/** One command in several guests at once: prefixed output, one summary. */
import type { CommandToRun } from "../../agent/client/remote-command.ts";
import { reasonOf, toVsockboxError, type VsockboxError } from "../../errors.ts";
import { STATUS_BROKEN_PIPE, STATUS_TIMED_OUT } from "../../process/exit-status.ts";
import { isBrokenPipe, StandardOutput } from "../../io/stdio.ts";
import { say } from "../../ui/report.ts";
import { ExecControl } from "./exec-control.ts";
import { eventOutput, type ExecOutput } from "../shared/json-output.ts";
import { runCommand } from "./exec-run.ts";
import { readAddress } from "../shared/address-kind.ts";
import type { ExecValues } from "./exec-arguments.ts";
import { type AgentTarget, agentTarget } from "../shared/target.ts";
import { countOf } from "../../text/count.ts";

/** How the command ended in one guest. */
interface Outcome {
  name: string;
  status: number;
  timedOut: boolean;
  /** Why there is no exit status of the command. */
  error: VsockboxError | undefined;
}

/**
 * Runs the command everywhere, without input.
 *
 * @returns 0 if all statuses are 0, else the largest one.
 */
export async function runOnMany(
  args: ExecValues,
  names: readonly string[],
  request: CommandToRun,
  timeoutMs: number | undefined,
): Promise<number> {
  const json = args.json;
  const outputs = { stdout: new StandardOutput(1), stderr: new StandardOutput(2) };
  const controls = names.map(() => new ExecControl());
  const width = Math.max(...names.map((name) => name.length));
  try {
    const outcomes = await Promise.all(
      names.map(async (name, index): Promise<Outcome> => {
        const control = controls[index] ?? new ExecControl();
        const output = json
          ? eventOutput(outputs.stdout, { target: name })
          : prefixedOutput(name.padEnd(width), outputs);
        return runOn(
          agentTarget(args, readAddress(name), control.signal),
          request,
          control,
          output,
          timeoutMs,
        );
      }),
    );
    if (!json) summarize(outcomes);
    else for (const { name, timedOut } of outcomes) if (timedOut) say(outOfTime(name));
    return Math.max(...outcomes.map(({ status }) => status));
  } catch (thrown) {
    if (isBrokenPipe(thrown)) return STATUS_BROKEN_PIPE;
    throw thrown;
  } finally {
    for (const control of controls) control[Symbol.dispose]();
  }
}

async function runOn(
  target: AgentTarget,
  request: CommandToRun,
  control: ExecControl,
  output: ExecOutput,
  timeoutMs: number | undefined,
): Promise<Outcome> {
  const { name } = target;
  try {
    const run = { request, openInput: undefined, control, output, timeoutMs };
    const status = await runCommand(target, run);
    return { name, status, timedOut: control.timedOut, error: undefined };
  } catch (thrown) {
    if (isBrokenPipe(thrown)) throw thrown;
    const error = toVsockboxError(thrown, "exec");
    await output.onError(error);
    const status = control.timedOut
      ? STATUS_TIMED_OUT
      : (control.interruptStatus ?? error.exitStatus);
    return { name, status, timedOut: control.timedOut, error };
  }
}

function summarize(outcomes: readonly Outcome[]): void {
  const failed = outcomes.filter(({ status }) => status !== 0);
  say(`vsockbox: ${countOf(outcomes.length, "guest")}, ${failed.length} failed`);
  for (const { name, status, timedOut, error } of failed) {
    if (timedOut) say(outOfTime(`  ${name}`));
    else say(`  ${name}: ${error === undefined ? `status ${status}` : reasonOf(error).message}`);
  }
}

function outOfTime(name: string): string {
  return `${name}: the command was ended: it ran longer than --timeout`;
}

const LINE_FEED = 0x0a;

/** A line without an end is printed when it gets this long, in bytes. */
const MAX_LINE_BYTES = 64 * 1024;

/** Whole lines with the target in front: lines of several guests must not run into each other. */
function prefixedOutput(
  name: string,
  outputs: { stdout: StandardOutput; stderr: StandardOutput },
): ExecOutput {
  const prefix = Buffer.from(`${name} | `);
  const lines = (sink: StandardOutput) => {
    let rest = Buffer.alloc(0);
    return {
      async push(bytes: Uint8Array): Promise<void> {
        const whole = Buffer.concat([rest, bytes]);
        const parts: Uint8Array[] = [];
        let begin = 0;
        for (
          let end = whole.indexOf(LINE_FEED);
          end !== -1;
          end = whole.indexOf(LINE_FEED, begin)
        ) {
          parts.push(prefix, whole.subarray(begin, end + 1));
          begin = end + 1;
        }
        if (whole.length - begin > MAX_LINE_BYTES) {
          parts.push(prefix, whole.subarray(begin), Buffer.of(LINE_FEED));
          begin = whole.length;
        }
        rest = Buffer.from(whole.subarray(begin));
        if (parts.length > 0) await sink.write(Buffer.concat(parts));
      },
      async finish(): Promise<void> {
        if (rest.length > 0) await sink.write(Buffer.concat([prefix, rest, Buffer.of(LINE_FEED)]));
        rest = Buffer.alloc(0);
      },
    };
  };
  const [stdout, stderr] = [lines(outputs.stdout), lines(outputs.stderr)];
  const finish = async () => {
    await stdout.finish();
    await stderr.finish();
  };
  return {
    onStdout: (bytes) => stdout.push(bytes),
    onStderr: (bytes) => stderr.push(bytes),
    onExit: finish,
    onError: finish,
  };
}
