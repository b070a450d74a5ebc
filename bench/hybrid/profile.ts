/**
 * Where our device's time goes: by function from Bun's own sampling, by part of the system from perf,
 * and by system call from strace, each in a run of its own. What is not installed is left out.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { kept } from "./children.ts";
import { Device, type DeviceKind, OURS } from "./devices.ts";
import { DriverEnd } from "./guests.ts";
import type { Programs } from "./programs.ts";
import { type Amounts, STEPS, type Step, Subject, warmUp } from "./steps.ts";

const ROOT = join(import.meta.dir, "../..");

/** Functions, symbols and calls beyond these are not worth a line. */
const LINES = 14;

/** Under a tracer everything is slower by so much. */
const TRACED_PART = 8;

/** What is profiled. */
export interface Run {
  programs: Programs;
  scratch: string;
  amounts: Amounts;
  warmUp: Amounts;
  /** Of the driver's rings. */
  entries: number;
}

/** Prints the profile of every step. */
export async function profile(run: Run): Promise<void> {
  for (const step of STEPS) {
    console.log(`\n## ${step.name}\n`);
    console.log(await functions(step, run));
    for (const tracer of [perf, systemCalls]) console.log(await tracer(step, run));
  }
}

async function withDevice(
  kind: DeviceKind,
  { programs, scratch, warmUp: before, entries }: Run,
  body: (subject: Subject) => Promise<void>,
): Promise<void> {
  const device = await Device.start(kind, scratch, {});
  await using subject = await Subject.start(
    programs,
    device,
    await DriverEnd.start(programs, device, entries),
  );
  await warmUp(subject, before);
  await body(subject);
}

interface CpuProfile {
  nodes: { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[];
  samples: number[];
}

/** By function, from the source: the compiled program has no names. */
async function functions(step: Step, run: Run): Promise<string> {
  const name = `${step.name.replaceAll(/\W+/g, "-")}.cpuprofile`;
  const kind: DeviceKind = {
    name: "vsockbox",
    command: [
      process.execPath,
      ...["--cpu-prof", "--cpu-prof-dir", run.scratch, "--cpu-prof-name", name],
      join(ROOT, "src/main.ts"),
      "hybrid-proxy",
    ],
  };
  await withDevice(kind, run, async (subject) => {
    await step.run(subject, step.amount(run.amounts));
  });
  const path = join(run.scratch, name);
  if (!existsSync(path)) return "Bun has written no profile.";
  const { nodes, samples } = JSON.parse(readFileSync(path, "utf8")) as CpuProfile;
  const names = new Map(
    nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => [
      id,
      `${functionName || "(anonymous)"} ${url.split("/").slice(-2).join("/")}:${lineNumber + 1}`,
    ]),
  );
  const counts = new Map<string, number>();
  for (const id of samples) {
    const key = names.get(id) ?? "(unknown)";
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const lines = [...counts]
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, LINES)
    .map(([key, count]) => `${((100 * count) / samples.length).toFixed(1).padStart(6)} %  ${key}`);
  return ["Functions, by samples in themselves:", ...lines].join("\n");
}

/** Runs a tracer of the whole process beside a step. */
async function traced(
  command: readonly string[],
  step: Step,
  subject: Subject,
  amount: number,
): Promise<void> {
  const tracer = kept(
    Bun.spawn([...command, "-p", String(subject.device.pid)], {
      stdio: ["ignore", "ignore", "ignore"],
    }),
  );
  // It has to attach to every thread first, and says nothing when it has.
  await Bun.sleep(1000);
  await step.run(subject, amount);
  tracer.kill("SIGINT");
  await tracer.exited;
}

async function perf(step: Step, run: Run): Promise<string> {
  if (Bun.which("perf") === null) return "perf is missing: no shares of the kernel's parts.";
  const data = join(run.scratch, "perf.data");
  await withDevice(OURS, run, (subject) =>
    traced(["perf", "record", "-o", data], step, subject, step.amount(run.amounts)),
  );
  const report = (sort: string) => {
    const command = ["perf", "report", "-i", data, "--stdio", "--sort", sort];
    const { stdout } = Bun.spawnSync(command, { stderr: "ignore" });
    return stdout
      .toString()
      .split("\n")
      .filter((line) => line.trim() !== "" && !line.startsWith("#"))
      .slice(0, LINES)
      .join("\n");
  };
  return `By part (perf):\n${report("dso")}\nBy symbol (perf):\n${report("dso,symbol")}`;
}

async function systemCalls(step: Step, run: Run): Promise<string> {
  if (Bun.which("strace") === null) return "strace is missing: no system calls.";
  const output = join(run.scratch, "strace.txt");
  const amount = Math.ceil(step.amount(run.amounts) / TRACED_PART);
  await withDevice(OURS, run, (subject) =>
    traced(["strace", "-f", "-c", "-o", output], step, subject, amount),
  );
  const table = readFileSync(output, "utf8").split("\n").slice(0, LINES).join("\n");
  return `System calls of ${amount} bytes or times (strace):\n${table}`;
}
