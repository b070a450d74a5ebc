/**
 * A directory of the host in a guest under QEMU: `vsockbox export` and `vsockbox mount` beside 9p and
 * virtiofsd, in turns in the same guest in the same run. `bun run bench/vfs.ts --help` shows the options.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bootGuest, type Guest } from "../src/vm/guest.ts";
import { exitOnSignals } from "./hybrid/children.ts";
import { Device, OURS } from "./hybrid/devices.ts";
import { whyNoQemu } from "./hybrid/guests.ts";
import { compileProgram } from "./hybrid/programs.ts";
import {
  alone,
  type BenchRow,
  type BenchTable,
  compared,
  type Measure,
  thisMachine,
} from "./table.ts";
import { memoryMib } from "./process-memory.ts";
import { median, VSOCKBOX } from "./transfer-bench.ts";
import { gitRepository, type Step, stepsOf } from "./vfs/steps.ts";
import { findVirtiofsd, ninepShare, ourShare, type Share, virtiofsShare } from "./vfs/shares.ts";
import { outputOption, writeTables } from "./write-tables.ts";

const HELP = `Usage: bun run bench/vfs.ts [OPTIONS]

Measures a directory of the host in a guest under QEMU: dist/vsockbox beside 9p and, if VIRTIOFSD names it
or it is in PATH, beside virtiofsd.

  --rounds N      Median of so many (default 5)
  --quick         Small amounts: whether it works, not how fast it is
  --output DIR    Write each table as JSON into this directory as well
`;

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    quick: { type: "boolean", default: false },
    ...outputOption,
    help: { type: "boolean", short: "h", default: false },
  },
});
const ROUNDS = Number(values.rounds);

/** Long enough for the slowest step of an emulated guest, in milliseconds. */
const STEP_MS = 600_000;

async function run(guest: Guest, line: string): Promise<string> {
  const { status, stdout, stderr } = await guest.run(line, { timeoutMs: STEP_MS });
  if (status === 0) return Buffer.from(stdout).toString();
  throw new Error(`in the guest: ${line}: ${Buffer.from(stderr).toString()}`);
}

/** Seconds of each step of each share. */
class Seconds {
  readonly #of = new Map<string, number[]>();

  add(share: Share, step: Step, seconds: number): void {
    const key = `${share.name} ${step.what}`;
    this.#of.set(key, [...(this.#of.get(key) ?? []), seconds]);
  }

  measure(share: Share, { what, amount }: Step): Measure {
    const seconds = median(this.#of.get(`${share.name} ${what}`) ?? []);
    return amount === undefined
      ? { value: seconds, unit: "s" }
      : { value: amount.count / seconds, unit: amount.unit };
  }
}

async function measure(guest: Guest, shares: readonly Share[], steps: readonly Step[]) {
  const seconds = new Seconds();
  for (let round = 0; round < ROUNDS; round++) {
    for (const step of steps) {
      for (const share of shares) {
        // The step's own caches are those of the share that it is for.
        await run(guest, "sync; echo 3 > /proc/sys/vm/drop_caches");
        seconds.add(share, step, Number(await run(guest, step.line(share.target))));
      }
    }
    process.stderr.write(`round ${round + 1} of ${ROUNDS}\n`);
  }
  return seconds;
}

function memoryRows(shares: readonly Share[]): BenchRow[] {
  return shares.flatMap(({ name, server }) =>
    server === undefined
      ? []
      : [alone(`highest RSS of ${name} on the host`, memoryMib(server.pid, "VmHWM"), "MiB")],
  );
}

async function mountRows(guest: Guest): Promise<BenchRow[]> {
  const line = "sed -n 's/^VmHWM: *//p' /proc/$(pidof vsockbox | cut -d' ' -f1)/status";
  return [
    alone(
      "highest RSS of vsockbox mount in the guest",
      Number.parseInt(await run(guest, line)) / 1024,
      "MiB",
    ),
  ];
}

function tableOf(ours: Share, peer: Share, steps: readonly Step[], seconds: Seconds): BenchTable {
  const rows = steps.map((step) => {
    const beside = { ...seconds.measure(peer, step), name: peer.name };
    const isTime = step.amount === undefined;
    return compared(step.what, seconds.measure(ours, step), beside, isTime ? "less" : "more");
  });
  return {
    id: `vfs-${peer.name}`,
    title: `A directory of the host in a guest, beside ${peer.name}, median of ${ROUNDS}`,
    machine: thisMachine(),
    peers: [{ name: peer.name, version: peer.version }],
    rows,
  };
}

async function main(): Promise<number> {
  if (values.help || !(ROUNDS > 0)) {
    (values.help ? console.log : console.error)(HELP);
    return values.help ? 0 : 64;
  }
  const missing = Bun.which("gcc") === null ? "gcc is not installed" : whyNoQemu();
  if (missing !== undefined) {
    console.error(`bench/vfs.ts: ${missing}`);
    return 69;
  }
  exitOnSignals();
  const scratch = mkdtempSync(join(tmpdir(), "vsockbox-bench-"));
  process.once("exit", () => rmSync(scratch, { recursive: true, force: true }));
  const virtiofsd = findVirtiofsd();
  if (virtiofsd === undefined) console.warn("SKIPPED: virtiofsd is not installed");
  await using device = await Device.start(OURS, scratch, {});
  const ours = await ourShare(scratch, device.udsPath);
  const peers = [
    ninepShare(scratch),
    ...(virtiofsd === undefined ? [] : [await virtiofsShare(scratch, virtiofsd)]),
  ];
  const shares = [ours, ...peers];
  const steps = stepsOf(values.quick);
  for (const { source } of shares) gitRepository(source, values.quick);
  const files = compileProgram(scratch, join(import.meta.dir, "vfs/files.c"), ["-static"]);
  const git = Bun.which("git");
  const programs = { "/bin/files": files, ...(git === null ? {} : { "/bin/git": git }) };
  const guest = await bootGuest({
    binary: VSOCKBOX,
    memoryMib: 1024,
    files: Object.entries(programs).map(([path, source]) => ({ path, source, mode: 0o755 })),
    vsockDevices: [device.socket],
    modules: shares.flatMap(({ modules }) => modules),
    qemuArguments: shares.flatMap(({ qemu }) => qemu),
  });
  process.once("exit", () => guest[Symbol.dispose]());
  try {
    for (const { target, mount } of shares) await run(guest, `mkdir -p ${target} && ${mount}`);
    const seconds = await measure(guest, shares, steps);
    const tables = peers.map((peer) => tableOf(ours, peer, steps, seconds));
    tables[0]?.rows.push(...memoryRows(shares), ...(await mountRows(guest)));
    writeTables(tables, values.output);
  } finally {
    await guest.stop();
    for (const { server } of shares) server?.kill();
  }
  return 0;
}

process.exitCode = await main();
