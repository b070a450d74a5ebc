/**
 * `hybrid-proxy` beside vhost-device-vsock, in turns in the same run: behind a driver program that
 * works on the rings at this machine's own speed, and behind Linux under QEMU.
 * `bun run bench/hybrid.ts --help` shows the options.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { exitOnSignals } from "./hybrid/children.ts";
import { Device, type DeviceOptions, findPeer, OURS, PEER } from "./hybrid/devices.ts";
import { DriverEnd, type GuestEnd, QemuEnd, whyNoQemu } from "./hybrid/guests.ts";
import { profile } from "./hybrid/profile.ts";
import { compilePrograms, type Programs } from "./hybrid/programs.ts";
import { type Amounts, Subject, warmUp } from "./hybrid/steps.ts";
import { Results } from "./hybrid/table.ts";
import { type BenchRow, type BenchTable, type Peer, thisMachine, versionOf } from "./table.ts";
import { outputOption, writeTables } from "./write-tables.ts";

const HELP = `Usage: bun run bench/hybrid.ts [OPTIONS]

Measures dist/vsockbox hybrid-proxy beside vhost-device-vsock: the program that VHOST_DEVICE_VSOCK
names, or one in PATH or ~/.cargo/bin; otherwise it is built with cargo.

  --rounds N             Median of so many (default 5)
  --vmm qemu|none        Behind Linux under QEMU as well, or only behind the driver (default qemu)
  --entries N            Entries of the driver's rings (default 128, as QEMU has them)
  --tx-buffer-size N     For both devices
  --queue-size N         For both devices
  --quick                Small amounts: whether it works, not how fast it is
  --profile              Print where our device's time goes, instead
  --output DIR           Write each table as JSON into this directory as well
`;

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    vmm: { type: "string", default: "qemu" },
    entries: { type: "string", default: "128" },
    "tx-buffer-size": { type: "string" },
    "queue-size": { type: "string" },
    quick: { type: "boolean", default: false },
    profile: { type: "boolean", default: false },
    ...outputOption,
    help: { type: "boolean", short: "h", default: false },
  },
});
const ROUNDS = Number(values.rounds);
const ENTRIES = Number(values.entries);
const OPTIONS: DeviceOptions = {
  txBufferSize: values["tx-buffer-size"],
  queueSize: values["queue-size"],
};

const QUICK: Amounts = { bytes: 2 ** 26, pings: 500, connects: 200 };

/** A second or two a step. */
const NATIVE: Amounts = values.quick ? QUICK : { bytes: 2 ** 31, pings: 30_000, connects: 20_000 };
const EMULATED: Amounts = values.quick ? QUICK : { bytes: 2 ** 27, pings: 3000, connects: 600 };

/** Bun compiles what has run often: as much of that behind the slow guest as behind the driver. */
const WARM_UP: Amounts = values.quick ? QUICK : { bytes: 2 ** 28, pings: 4000, connects: 4000 };

type StartGuest = (programs: Programs, device: Device) => Promise<GuestEnd>;

/** Both devices with a guest behind each. */
class Subjects implements AsyncDisposable {
  readonly all: Subject[] = [];

  async start(programs: Programs, scratch: string, startGuest: StartGuest): Promise<Subject[]> {
    const peer = await findPeer();
    for (const kind of peer === undefined ? [OURS] : [OURS, peer]) {
      const device = await Device.start(kind, scratch, OPTIONS);
      try {
        const guest = await startGuest(programs, device);
        this.all.push(await Subject.start(programs, device, guest));
      } catch (thrown) {
        await device[Symbol.asyncDispose]();
        throw thrown;
      }
    }
    return this.all;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const subject of this.all) await subject[Symbol.asyncDispose]();
  }
}

/** Every round has processes of its own: how well they are compiled differs from one to the next. */
async function behindDriver(programs: Programs, scratch: string): Promise<BenchRow[]> {
  const results = new Results();
  for (let round = 0; round < ROUNDS; round++) {
    await using subjects = new Subjects();
    const all = await subjects.start(programs, scratch, (...given) =>
      DriverEnd.start(...given, ENTRIES),
    );
    for (const subject of all) await warmUp(subject, WARM_UP);
    await results.round(all, NATIVE, round);
  }
  return results.rows();
}

/** Two guests of one image are up all the time: a boot is longer than a round. */
async function behindQemu(programs: Programs, scratch: string): Promise<BenchRow[]> {
  const results = new Results();
  await using subjects = new Subjects();
  const all = await subjects.start(programs, scratch, (...given) => QemuEnd.start(...given));
  for (const subject of all) await warmUp(subject, WARM_UP);
  for (let round = 0; round < ROUNDS; round++) await results.round(all, EMULATED, round);
  return results.rows();
}

/** The peer, unless it could not be measured. */
function peersOf(rows: readonly BenchRow[]): Peer[] {
  return rows.some(({ beside }) => beside !== null) ? [{ ...PEER }] : [];
}

async function main(): Promise<number> {
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  if (!["qemu", "none"].includes(values.vmm) || !(ROUNDS > 0) || !(ENTRIES > 0)) {
    console.error(HELP);
    return 64;
  }
  exitOnSignals();
  const scratch = mkdtempSync(join(tmpdir(), "vsockbox-bench-"));
  process.once("exit", () => rmSync(scratch, { recursive: true, force: true }));
  const programs = compilePrograms(scratch);
  if (programs === undefined) return 69;
  if (values.profile) {
    await profile({ programs, scratch, amounts: NATIVE, warmUp: WARM_UP, entries: ENTRIES });
    return 0;
  }
  const table = (id: string, title: string, rows: BenchRow[]): BenchTable => ({
    ...{
      id,
      title: `${title}, median of ${ROUNDS}`,
      machine: thisMachine(),
      peers: peersOf(rows),
      rows,
    },
  });
  // Each table as soon as it is there.
  const native = await behindDriver(programs, scratch);
  writeTables([table("device-driver", "The device with a driver program", native)], values.output);
  const missing = values.vmm === "none" ? "--vmm none" : whyNoQemu();
  if (missing !== undefined) {
    console.warn(`SKIPPED: QEMU: ${missing}`);
    return 0;
  }
  const emulated = table(
    "device-qemu",
    "The device with Linux under QEMU",
    await behindQemu(programs, scratch),
  );
  emulated.peers.push({ name: "QEMU", version: versionOf("qemu-system-x86_64", "--version") });
  writeTables([emulated], values.output);
  return 0;
}

process.exitCode = await main();
