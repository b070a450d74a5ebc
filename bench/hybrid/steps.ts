/** What is measured of a device with a guest behind it. */
import { existsSync, rmSync } from "node:fs";
import { kept } from "./children.ts";
import type { Device } from "./devices.ts";
import { FIRST_GUEST_PORT, type GuestEnd, HOST_PORT } from "./guests.ts";
import type { Programs } from "./programs.ts";

const GIB = 2 ** 30;

/** How much is moved. */
export interface Amounts {
  bytes: number;
  pings: number;
  connects: number;
}

/** A device with a guest behind it, and a server of the host for the guest's connects. */
export class Subject implements AsyncDisposable {
  readonly device: Device;
  readonly guest: GuestEnd;
  readonly #programs: Programs;
  readonly #server: Bun.Subprocess;

  private constructor(programs: Programs, device: Device, guest: GuestEnd, server: Bun.Subprocess) {
    this.#programs = programs;
    this.device = device;
    this.guest = guest;
    this.#server = server;
  }

  /** Takes over the device and its guest. */
  static async start(programs: Programs, device: Device, guest: GuestEnd): Promise<Subject> {
    const path = `${device.udsPath}_${HOST_PORT}`;
    rmSync(path, { force: true });
    const server = kept(
      Bun.spawn([programs.load, "accept", `unix:${path}`], {
        stdio: ["ignore", "ignore", "inherit"],
      }),
    );
    while (!existsSync(path) && server.exitCode === null) await Bun.sleep(5);
    return new Subject(programs, device, guest, server);
  }

  /** Runs a client of the host, and gives the seconds that it took. */
  async client(what: string, guestPort: number, amount: number): Promise<number> {
    const address = `hybrid:${this.device.udsPath}:${guestPort}`;
    const child = kept(
      Bun.spawn([this.#programs.load, what, address, String(amount)], {
        stdio: ["ignore", "pipe", "inherit"],
      }),
    );
    const output = await new Response(child.stdout).text();
    if ((await child.exited) === 0) return Number(output);
    throw new Error(`${this.device.kind.name}: ${what} of ${amount} failed`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.kill();
    await this.#server.exited;
    await this.guest[Symbol.asyncDispose]();
    await this.device[Symbol.asyncDispose]();
  }
}

/** Something that is done to both devices in turn. */
export interface Step {
  name: string;
  /** How much of it is done. */
  amount(amounts: Amounts): number;
  /** Gives the seconds that it took. */
  run(subject: Subject, amount: number): Promise<number>;
  /** Bytes are moved, so that a processor's time for a GiB can be told. */
  isBulk: boolean;
}

const [SINK, SOURCE, ECHO, ACCEPT] = [0, 1, 2, 3].map((index) => FIRST_GUEST_PORT + index) as [
  number,
  number,
  number,
  number,
];

/** All steps, in the order of the table. */
export const STEPS: readonly Step[] = [
  {
    name: "bulk, host to guest",
    amount: ({ bytes }) => bytes,
    run: (subject, bytes) => subject.client("send", SINK, bytes),
    isBulk: true,
  },
  {
    name: "bulk, guest to host",
    amount: ({ bytes }) => bytes,
    run: (subject, bytes) => subject.client("receive", SOURCE, bytes),
    isBulk: true,
  },
  {
    name: "1-byte ping-pongs",
    amount: ({ pings }) => pings,
    run: (subject, count) => subject.client("ping", ECHO, count),
    isBulk: false,
  },
  {
    name: "connects, host to guest",
    amount: ({ connects }) => connects,
    run: (subject, count) => subject.client("connect", ACCEPT, count),
    isBulk: false,
  },
  {
    name: "connects, guest to host",
    amount: ({ connects }) => connects,
    run: (subject, count) => subject.guest.connectToHost(count),
    isBulk: false,
  },
];

/** One run of one step. */
export interface Sample {
  /** Bytes or times a second. */
  rate: number;
  /** Seconds of a processor for each GiB; undefined where it is not bulk. */
  cpuPerGib: number | undefined;
}

async function timed(step: Step, subject: Subject, amount: number): Promise<number> {
  try {
    return await step.run(subject, amount);
  } catch (cause) {
    throw new Error(`${subject.device.kind.name}: ${step.name} has failed`, { cause });
  }
}

/** Runs a step. */
export async function measure(step: Step, subject: Subject, amounts: Amounts): Promise<Sample> {
  const amount = step.amount(amounts);
  const before = subject.device.cpuSeconds();
  const seconds = await timed(step, subject, amount);
  const cpu = subject.device.cpuSeconds() - before;
  return { rate: amount / seconds, cpuPerGib: step.isBulk ? (cpu * GIB) / amount : undefined };
}

/** Runs every step once: what both devices have behind them before anything counts. */
export async function warmUp(subject: Subject, amounts: Amounts): Promise<void> {
  for (const step of STEPS) await timed(step, subject, step.amount(amounts));
}
