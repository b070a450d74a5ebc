/**
 * cp and exec against a raw pump (`listen` and `connect`) over Unix sockets in the same run, in turns.
 * Prints a table; `bun run bench/agent.ts [--mib N] [--rounds N] [--folder DIR]`.
 */
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
  openSync,
  closeSync,
} from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { connectAgent } from "vsockbox";

const VSOCKBOX = join(import.meta.dir, "../dist/vsockbox");
const { values } = parseArgs({
  options: {
    mib: { type: "string", default: "1024" },
    rounds: { type: "string", default: "5" },
    folder: { type: "string", default: existsSync("/dev/shm") ? "/dev/shm" : tmpdir() },
  },
});
const BYTES = Number(values.mib) * 1024 * 1024;
const ROUNDS = Number(values.rounds);
const EXECS = 300;

const folder = mkdtempSync(join(values.folder, "vsockbox-bench-"));
const source = join(folder, "source");
const address = `unix:${join(folder, "agent.sock")}`;

const median = (all: number[]) => all.toSorted((a, b) => a - b)[all.length >> 1] ?? 0;

interface Run {
  seconds: number;
  /** Highest RSS of the process, in MiB. */
  peakMib: number;
}

async function run(command: string[], stdio: [number | "ignore", number | "ignore"]): Promise<Run> {
  const begin = performance.now();
  const child = Bun.spawn(command, { stdio: [...stdio, "inherit"] });
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")} failed`);
  const seconds = (performance.now() - begin) / 1000;
  return { seconds, peakMib: (child.resourceUsage()?.maxRSS ?? 0) / 1024 / 1024 };
}

function makeSource(): void {
  const block = new Uint8Array(1024 * 1024);
  for (let at = 0; at < block.length; at += 65_536)
    crypto.getRandomValues(block.subarray(at, at + 65_536));
  const fd = openSync(source, "w");
  for (let done = 0; done < BYTES; done += block.length) writeSync(fd, block);
  closeSync(fd);
}

/** From file to file through `connect` and `listen`: what the sockets alone can do. */
async function rawPump(): Promise<Run> {
  const socket = join(folder, "pump.sock");
  const target = join(folder, "pumped");
  const [input, output] = [openSync(source, "r"), openSync(target, "w")];
  const listener = Bun.spawn([VSOCKBOX, "listen", `unix:${socket}`, "-q"], {
    stdio: ["ignore", output, "inherit"],
  });
  while (!existsSync(socket)) await Bun.sleep(5);
  const begin = performance.now();
  const sent = await run([VSOCKBOX, "connect", `unix:${socket}`], [input, "ignore"]);
  await listener.exited;
  const seconds = (performance.now() - begin) / 1000;
  closeSync(input);
  closeSync(output);
  check(target);
  return { seconds, peakMib: sent.peakMib };
}

async function copy(from: string, to: string, target: string): Promise<Run> {
  const result = await run([VSOCKBOX, "cp", "-q", from, to], ["ignore", "ignore"]);
  check(target);
  return result;
}

function check(path: string): void {
  if (statSync(path).size !== BYTES) throw new Error(`${path} is not complete`);
  rmSync(path);
}

function peakOf(pid: number): number {
  const found = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(found?.[1]) / 1024;
}

async function bulk(agentPid: number): Promise<string[][]> {
  const runs: Record<"pump" | "up" | "down", Run[]> = { pump: [], up: [], down: [] };
  const target = join(folder, "copied");
  for (let round = 0; round < ROUNDS; round++) {
    runs.pump.push(await rawPump());
    runs.up.push(await copy(source, `${address}:${target}`, target));
    runs.down.push(await copy(`${address}:${source}`, target, target));
  }
  const seconds = (all: Run[]) => median(all.map((one) => one.seconds));
  const rate = (all: Run[]) => BYTES / 1e6 / seconds(all);
  const peak = (all: Run[]) => Math.max(...all.map(({ peakMib }) => peakMib)).toFixed(0);
  const row = (what: string, all: Run[]) => [
    what,
    `${rate(all).toFixed(0)} MB/s`,
    `connect and listen: ${rate(runs.pump).toFixed(0)} MB/s`,
    (rate(all) / rate(runs.pump)).toFixed(2),
  ];
  return [
    row(`cp up, ${values.mib} MiB, median of ${ROUNDS}`, runs.up),
    row(`cp down, ${values.mib} MiB, median of ${ROUNDS}`, runs.down),
    ["highest RSS of cp, up", `${peak(runs.up)} MiB`, `connect: ${peak(runs.pump)} MiB`, ""],
    ["highest RSS of cp, down", `${peak(runs.down)} MiB`, `connect: ${peak(runs.pump)} MiB`, ""],
    ["highest RSS of the agent over all copies", `${peakOf(agentPid).toFixed(0)} MiB`, "", ""],
  ];
}

/** Round trips of whole commands over one connection, beside starting the same program here. */
async function execs(): Promise<string[][]> {
  await using agent = await connectAgent(address);
  const times: Record<"remote" | "local", number[]> = { remote: [], local: [] };
  for (let index = 0; index < EXECS; index++) {
    let begin = performance.now();
    await agent.exec(["/bin/true", "-"]);
    times.remote.push(performance.now() - begin);
    begin = performance.now();
    await Bun.spawn(["/bin/true", "-"], { stdio: ["ignore", "pipe", "pipe"] }).exited;
    times.local.push(performance.now() - begin);
  }
  const perSecond = (all: number[]) => 1000 / median(all);
  const begin = performance.now();
  await Promise.all(Array.from({ length: EXECS }, () => agent.exec(["/bin/true", "-"])));
  const together = EXECS / ((performance.now() - begin) / 1000);
  const local = `Bun.spawn of the same: ${perSecond(times.local).toFixed(0)}/s`;
  return [
    [
      `exec round trips a second, one behind the other, median of ${EXECS}`,
      `${perSecond(times.remote).toFixed(0)}/s`,
      local,
      (perSecond(times.remote) / perSecond(times.local)).toFixed(2),
    ],
    [
      `the same, ${EXECS} at once over one connection`,
      `${together.toFixed(0)}/s`,
      local,
      (together / perSecond(times.local)).toFixed(2),
    ],
  ];
}

const agentProcess = Bun.spawn([VSOCKBOX, "agent", "--listen", address, "-q"], {
  stdio: ["ignore", "ignore", "inherit"],
});
try {
  makeSource();
  while (!existsSync(address.slice(5))) await Bun.sleep(5);
  const copies = await bulk(agentProcess.pid);
  const commands = await execs();
  const table = [
    ...commands,
    ...copies,
    ["the same after the commands", `${peakOf(agentProcess.pid).toFixed(0)} MiB`, "", ""],
  ];
  console.log(
    `Bun ${Bun.version}, linux ${process.arch}, ${cpus().length} cores (${cpus()[0]?.model})\n`,
  );
  console.log("| what | vsockbox | beside it | ratio |\n| --- | --- | --- | --- |");
  for (const cells of table) console.log(`| ${cells.join(" | ")} |`);
} finally {
  agentProcess.kill();
  await agentProcess.exited;
  rmSync(folder, { recursive: true, force: true });
}
