/** `vsockbox demo`: the main job before one's eyes. */
import { DEMO_STEPS } from "../demo/steps.ts";
import { guestPlace, localPlace, type Place } from "../demo/places.ts";
import { VsockboxError } from "../errors.ts";
import { onEndingSignal, statusOfSignal } from "../process/signals.ts";
import { selfCommand } from "../process/self.ts";
import type { Command } from "../ui/command.ts";
import { print, printJson, say } from "../ui/report.ts";
import { StatusLine } from "../ui/status-line.ts";
import { jsonArgument } from "./common.ts";

export const command: Command = {
  name: "demo",
  description: "Boot a throw-away guest and run commands in it over AF_VSOCK",
  args: {
    local: { type: "boolean", description: "Without a guest: over a Unix socket on this machine" },
    ...jsonArgument,
  },
  examples: [
    {
      command: "vsockbox demo",
      explanation: "A guest under QEMU where there is one, else over a Unix socket",
    },
  ],
  async run(args) {
    const json = args.flag("json");
    const binary = ownExecutable();
    let place: Place | undefined;
    const interrupt = new AbortController();
    let interruptStatus: number | undefined;
    using _signals = onEndingSignal((signal) => {
      interruptStatus = statusOfSignal(signal);
      interrupt.abort();
      void place?.[Symbol.asyncDispose]();
    });
    try {
      place = await choosePlace(binary, args.flag("local"), json, interrupt.signal);
      return await show(place, json);
    } catch (thrown) {
      if (interruptStatus !== undefined) return interruptStatus;
      throw thrown;
    } finally {
      await place?.[Symbol.asyncDispose]();
    }
  },
};

function ownExecutable(): string {
  const [program, ...source] = selfCommand();
  if (source.length === 0) return program;
  throw new VsockboxError({
    code: "USAGE",
    operation: "demo",
    message: "it needs the compiled executable, which goes into the guest",
    hint: "npm run demo builds it first",
  });
}

async function choosePlace(
  binary: string,
  local: boolean,
  json: boolean,
  signal: AbortSignal,
): Promise<Place> {
  if (local) return localPlace(binary);
  const begin = performance.now();
  using line = new StatusLine(!json);
  let stage = "";
  const showStage = () => line.show(`${stage} (emulated: about 10 s)`);
  const timer = setInterval(showStage, 200);
  try {
    const place = await guestPlace(
      binary,
      (next) => {
        stage = next;
        showStage();
      },
      signal,
    );
    line.clear();
    const seconds = ((performance.now() - begin) / 1000).toFixed(1);
    if (!json)
      print(`A guest is up after ${seconds} s: ${stage.replace("booting ", "")} under QEMU.\n`);
    return place;
  } catch (thrown) {
    const missing = thrown instanceof VsockboxError && thrown.code === "UNAVAILABLE";
    if (!missing || signal.aborted) throw thrown;
    line.clear();
    say(`No guest here: ${thrown.message}`);
    if (thrown.hint !== undefined) say(`  hint: ${thrown.hint}`);
    say("The same over a Unix socket on this machine:\n");
    return localPlace(binary);
  } finally {
    clearInterval(timer);
  }
}

async function show(place: Place, json: boolean): Promise<number> {
  const steps = [
    {
      caption: "The agent, and waiting until it is ready:",
      line: place.startAgentLine,
      status: 0,
      output: /^$/,
    },
    ...DEMO_STEPS,
  ];
  const results: { command: string; status: number; output: string; ok: boolean }[] = [];
  for (const step of steps) {
    const { status, output } = await place.run(step.line);
    const ok = status === step.status && step.output.test(output.trimEnd());
    const shown = step.line.replaceAll("$AGENT", place.agentAddress);
    results.push({ command: shown, status, output, ok });
    if (json) continue;
    print(`${step.caption}\n  ${place.prompt} ${shown}`);
    for (const text of output.trimEnd().split("\n").filter(Boolean)) print(`  ${text}`);
    if (status !== 0) print(`  (exit status ${status})`);
    if (!ok)
      print(`  NOT AS EXPECTED: status ${step.status} and output like ${String(step.output)}`);
    print("");
  }
  const ok = results.every((result) => result.ok);
  const over = place.agentAddress.startsWith("vsock") ? "AF_VSOCK" : "a Unix socket";
  if (json) printJson({ ok, over, steps: results });
  else print(ok ? `Done: ${DEMO_STEPS.length} commands over ${over}.` : "FAILED.");
  return ok ? 0 : 1;
}
