/** `vsockbox demo`: the main job before one's eyes. */
import type { DemoStep } from "../../demo/steps.ts";
import { availableVmm, guestPlace, localPlace, type DemoPlace } from "../../demo/places.ts";
import { commandLineError, VsockboxError } from "../../errors.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { selfCommand } from "../../process/self.ts";
import { print, printJson, printStyled, say, sayBlock } from "../../ui/report.ts";
import { StatusLine } from "../../ui/status-line.ts";
import type { VmmName } from "../../vm/machine.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { flag, option } from "../../ui/argument.ts";
import { choice } from "../../ui/value-kind.ts";
import { defineCommand } from "../../ui/command-definition.ts";

/** Names of VMMs. */
const VMM_NAMES: Readonly<Record<VmmName, string>> = { qemu: "QEMU", uml: "User-mode Linux" };

/** Limit for a guest to power off, in milliseconds. */
const OFF_TIMEOUT_MS = 30_000;

export const command = defineCommand({
  name: "demo",
  group: "Diagnostics",
  summary: "Boot a disposable guest and run commands in it",
  args: {
    vmm: option(choice(["qemu", "uml"]), {
      defaultText: "qemu if it is installed, else uml",
      summary: "What runs the guest",
    }),
    local: flag({ summary: "Use a Unix socket on this machine instead of a guest" }),
    ...jsonArgument,
  },
  conflicts: { local: ["vmm"] },
  examples: [
    {
      command: "vsockbox demo",
      explanation: "A guest under QEMU or User-mode Linux if one is installed, else a Unix socket",
    },
    {
      command: "vsockbox demo --vmm uml",
      explanation: "Under User-mode Linux, which boots in 2 s",
    },
  ],
  async run(args) {
    const json = args.json;
    const { vmm } = args;
    const local = args.local;
    const binary = ownExecutable();
    const interrupt = new AbortController();
    let interruptStatus: number | undefined;
    using _signals = onEndingSignal((signal) => {
      interruptStatus = statusOfSignal(signal);
      interrupt.abort();
    });
    try {
      await using place = local
        ? localPlace(binary, interrupt.signal)
        : await choosePlace(binary, vmm, json, interrupt.signal);
      interrupt.signal.addEventListener("abort", () => void place[Symbol.asyncDispose]());
      return await show(place, json);
    } catch (thrown) {
      if (interruptStatus !== undefined) return interruptStatus;
      throw thrown;
    }
  },
});

function usage(message: string, hint?: string): VsockboxError {
  return commandLineError("demo", message, hint);
}

function ownExecutable(): string {
  const [program, ...source] = selfCommand();
  if (source.length === 0) return program;
  const message = "it needs the compiled executable, which goes into the guest";
  throw usage(message, "npm run demo builds it first");
}

/** A guest; if none can be booted and none was requested by name, the local system. */
async function choosePlace(
  binary: string,
  wanted: VmmName | undefined,
  json: boolean,
  signal: AbortSignal,
): Promise<DemoPlace> {
  try {
    return await bootPlace(binary, wanted ?? availableVmm(), json, signal);
  } catch (thrown) {
    const missing = thrown instanceof VsockboxError && thrown.code === "UNAVAILABLE";
    if (!missing || wanted !== undefined || signal.aborted) throw thrown;
    say(`No guest here: ${thrown.message}`);
    if (thrown.hint !== undefined) say(`  hint: ${thrown.hint}`);
    sayBlock("The same over a Unix socket on this machine:\n");
    return localPlace(binary, signal);
  }
}

async function bootPlace(
  binary: string,
  vmm: VmmName,
  json: boolean,
  signal: AbortSignal,
): Promise<DemoPlace> {
  using line = new StatusLine(!json);
  let stage = "";
  const showStage = () => line.show(vmm === "qemu" ? `${stage} (emulated: about 10 s)` : stage);
  const timer = setInterval(showStage, 200);
  let begin = performance.now();
  const onDevice = (device: string) => {
    begin = performance.now();
    if (!json)
      printStyled(`A vsock for a guest, without root and kernel modules:\n  $ ${device} &\n`);
  };
  const onStage = (next: string) => {
    stage = next;
    showStage();
  };
  try {
    const place = await guestPlace({ binary, vmm, onDevice, onStage, signal });
    line.clear();
    const seconds = ((performance.now() - begin) / 1000).toFixed(1);
    const kernel = stage.replace("booting ", "");
    if (!json)
      printStyled(`A guest is up after ${seconds} s: ${kernel} under ${VMM_NAMES[vmm]}.\n`);
    return place;
  } finally {
    clearInterval(timer);
  }
}

/** A step with its result. */
interface StepResult {
  command: string;
  status: number;
  output: string;
  ok: boolean;
}

async function show(place: DemoPlace, json: boolean): Promise<number> {
  const results: StepResult[] = [];
  for (const step of place.steps) results.push(await showStep(place, step, json));
  const off = place.guestOff === undefined || (await endsInTime(place.guestOff));
  const ok = off && results.every((result) => result.ok);
  if (json) {
    printJson({ ok, over: place.over, steps: results });
  } else {
    if (!off) print(`NOT AS EXPECTED: the guest is still on after ${OFF_TIMEOUT_MS / 1000} s`);
    print(ok ? `Done: ${results.length} commands over ${place.over}.` : "FAILED.");
  }
  return ok ? 0 : 1;
}

async function showStep({ shell }: DemoPlace, step: DemoStep, json: boolean): Promise<StepResult> {
  const { caption, background, line } = step;
  const shown = shell.shown(line);
  if (background !== undefined) await shell.background(background.line, background.socket);
  const { status, output } = await shell.run(line);
  const ok = status === step.status && step.output.test(output.trimEnd());
  const result = { command: shown, status, output, ok };
  if (json) return result;
  print(caption);
  if (background !== undefined) print(`  $ ${shell.shown(background.line)} &`);
  print(`  $ ${shown}`);
  for (const text of output.trimEnd().split("\n").filter(Boolean)) print(`  ${text}`);
  if (status !== 0) print(`  (exit status ${status})`);
  if (!ok) {
    print(`  NOT AS EXPECTED: status ${step.status} and output like ${String(step.output)}`);
  }
  print("");
  return result;
}

async function endsInTime(ended: Promise<unknown>): Promise<boolean> {
  const late = Promise.withResolvers<"late">();
  const timer = setTimeout(() => late.resolve("late"), OFF_TIMEOUT_MS);
  const outcome = await Promise.race([ended, late.promise]);
  clearTimeout(timer);
  return outcome !== "late";
}
