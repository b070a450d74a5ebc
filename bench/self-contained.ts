/**
 * What being self-contained costs: start-up and memory of the self-contained executable beside the same
 * program with the system's loader and libraries, in turns in the same run; and how long a guest takes
 * from the start of its VMM until it is ready, with the share that is ours. Prints tables;
 * `bun run bench/self-contained.ts [--starts N] [--boots N] [--vmm qemu|uml|none] [--output DIR]`.
 */
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { withArguments } from "../tests/support/machine.ts";
import { packInto } from "../tests/support/pack.ts";
import { startMachine } from "../src/vm/guest.ts";
import type { VmmName } from "../src/vm/machine.ts";
import { qemuMachine } from "../src/vm/qemu.ts";
import { umlMachine } from "../src/vm/uml.ts";
import { alone, type BenchRow, compared, thisMachine, versionOf } from "./table.ts";
import { outputOption, writeTables } from "./write-tables.ts";

const ROOT = join(import.meta.dir, "..");
const { values } = parseArgs({
  options: {
    starts: { type: "string", default: "100" },
    boots: { type: "string", default: "5" },
    vmm: { type: "string", default: "qemu" },
    ...outputOption,
  },
});
const STARTS = Number(values.starts);
const BOOTS = Number(values.boots);

const scratch = mkdtempSync(join(tmpdir(), "vsockbox-bench-"));
const median = (numbers: number[]) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0;

const quiet = { ...process.env, VSOCKBOX_NO_VSOCK: "1", NO_COLOR: "1" };

/** Both builds as fresh copies: how a file came into the page cache changes what it seems to weigh. */
function builds(): { packed: string; dynamic: string } {
  const made = join(scratch, "made");
  for (const options of [[], ["--dynamic"]]) {
    const { exitCode } = Bun.spawnSync(
      [process.execPath, "run", "build.ts", "--quiet", ...options, "--outdir", made],
      { cwd: ROOT, stderr: "inherit" },
    );
    if (exitCode !== 0) throw new Error("the build failed");
    copyFileSync(
      join(made, "vsockbox"),
      join(scratch, options.length === 0 ? "packed" : "dynamic"),
    );
  }
  return { packed: join(scratch, "packed"), dynamic: join(scratch, "dynamic") };
}

interface Start {
  milliseconds: number;
  /** Highest resident memory, in MiB. */
  peak: number;
}

function start(binary: string): Start {
  const begin = performance.now();
  const { exitCode, resourceUsage } = Bun.spawnSync([binary, "--version"], {
    stdio: ["ignore", "ignore", "ignore"],
    env: quiet,
  });
  if (exitCode !== 0) throw new Error(`${binary} ended with ${exitCode}`);
  return {
    milliseconds: performance.now() - begin,
    peak: (resourceUsage?.maxRSS ?? 0) / 1024 ** 2,
  };
}

interface Idle {
  rss: number;
  /** Pages that it shares with nobody. */
  own: number;
}

/** An idle agent's memory in MiB, from /proc/PID/smaps_rollup. */
async function idleAgent(binary: string, name: string): Promise<Idle> {
  const socket = join(scratch, `${name}.sock`);
  const agent = Bun.spawn([binary, "agent", "--listen", `unix:${socket}`, "-q"], {
    stdio: ["ignore", "ignore", "ignore"],
    env: quiet,
  });
  while (!existsSync(socket)) await Bun.sleep(5);
  await Bun.sleep(1000);
  const rollup = readFileSync(`/proc/${agent.pid}/smaps_rollup`, "utf8");
  const field = (label: string) =>
    Number(new RegExp(`^${label}:\\s+(\\d+)`, "m").exec(rollup)?.[1]) / 1024;
  agent.kill();
  await agent.exited;
  return { rss: field("Rss"), own: field("Private_Clean") + field("Private_Dirty") };
}

async function beside(): Promise<void> {
  const { packed, dynamic } = builds();
  const starts: { packed: Start[]; dynamic: Start[] } = { packed: [], dynamic: [] };
  for (let round = -3; round < STARTS; round++) {
    const pair = { packed: start(packed), dynamic: start(dynamic) };
    if (round < 0) continue;
    starts.packed.push(pair.packed);
    starts.dynamic.push(pair.dynamic);
  }
  const idle: { packed: Idle[]; dynamic: Idle[] } = { packed: [], dynamic: [] };
  for (let round = 0; round < 5; round++) {
    idle.packed.push(await idleAgent(packed, `packed-${round}`));
    idle.dynamic.push(await idleAgent(dynamic, `dynamic-${round}`));
  }
  const rows: BenchRow[] = [];
  const row = (what: string, unit: string, ours: number[], theirs: number[]) => {
    const other = { name: "with the system's libraries", value: median(theirs), unit };
    rows.push(compared(what, { value: median(ours), unit }, other, "less"));
  };
  const times = (list: Start[]) => list.map(({ milliseconds }) => milliseconds);
  const peaks = (list: Start[]) => list.map(({ peak }) => peak);
  row(`\`--version\`, median of ${STARTS}`, "ms", times(starts.packed), times(starts.dynamic));
  row("its highest RSS", "MiB", peaks(starts.packed), peaks(starts.dynamic));
  const rss = (list: Idle[]) => list.map((it) => it.rss);
  const own = (list: Idle[]) => list.map((it) => it.own);
  row("RSS of an idle agent, median of 5", "MiB", rss(idle.packed), rss(idle.dynamic));
  row("of that, shared with no process", "MiB", own(idle.packed), own(idle.dynamic));
  const title = "Being self-contained";
  writeTables(
    [{ id: "self-contained", title, machine: thisMachine(), peers: [], rows }],
    values.output,
  );
}

interface Boot {
  /** Milliseconds from the start of the VMM. */
  kernelDone: number;
  ready: number;
}

/** Boots an image whose init is the agent, behind hybrid-proxy; times are this machine's. */
async function boot(vmm: VmmName, round: number): Promise<Boot> {
  const [socket, uds] = [join(scratch, `vhost-${round}.sock`), join(scratch, `vm-${round}.vsock`)];
  const binary = join(ROOT, "dist/vsockbox");
  const device = Bun.spawn(
    [binary, "hybrid-proxy", "--vm", `guest-cid=5,socket=${socket},uds-path=${uds}`],
    { stdio: ["ignore", "ignore", "ignore"], env: quiet },
  );
  while (!existsSync(socket)) await Bun.sleep(10);
  const options = { binary, vsockDevices: [socket], memoryMib: 512 };
  // The kernel is to tell when it hands over to init.
  const machine = withArguments(
    vmm === "qemu" ? qemuMachine(options) : umlMachine(options),
    (given) =>
      given
        .map((word) => word.replace("loglevel=6", "loglevel=7"))
        .filter((word) => word !== "quiet"),
  );
  const home = mkdtempSync(join(machine.parent, "vsockbox-guest-"));
  await packInto(join(home, "initrd"), ["--kernel-modules", machine.kernel.modules]);
  const waiting = Bun.spawn([binary, "wait", `hybrid:${uds}`, "--timeout", "180"], {
    stdio: ["ignore", "ignore", "inherit"],
    env: quiet,
  });
  let begin = 0;
  let kernelDone = 0;
  const guest = await startMachine({
    machine,
    directory: home,
    async ready(started) {
      // Anew for each attempt: a machine that hung is none.
      begin = performance.now();
      while (!started.consoleLog().includes("as init process")) await Bun.sleep(2);
      kernelDone = performance.now() - begin;
    },
  });
  const status = await waiting.exited;
  const ready = performance.now() - begin;
  await guest.stop();
  device.kill();
  await device.exited;
  if (status !== 0) throw new Error(`wait ended with ${status}`);
  return { kernelDone, ready };
}

async function boots(vmm: VmmName): Promise<void> {
  const all: Boot[] = [];
  for (let round = 0; round < BOOTS; round++) all.push(await boot(vmm, round));
  const kernel = median(all.map(({ kernelDone }) => kernelDone));
  const ready = median(all.map((it) => it.ready));
  const ours = median(all.map((it) => it.ready - it.kernelDone));
  const rows = [
    alone(`the VMM's start to the kernel's "Run /init"`, kernel / 1000, "s"),
    alone("from there to `vsockbox wait` returning: init, modules, agent", ours / 1000, "s"),
    alone("in all", ready / 1000, "s"),
    alone("part of vsockbox", (100 * ours) / ready, "%"),
  ];
  const program = vmm === "qemu" ? "qemu-system-x86_64" : "linux.uml";
  const peers = [
    { name: vmm === "qemu" ? "QEMU" : "User-mode Linux", version: versionOf(program, "--version") },
  ];
  const title = `From the start of the VMM to a ready agent, median of ${BOOTS}`;
  writeTables([{ id: "boot", title, machine: thisMachine(), peers, rows }], values.output);
}

try {
  await beside();
  if (values.vmm === "qemu" || values.vmm === "uml") await boots(values.vmm);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
