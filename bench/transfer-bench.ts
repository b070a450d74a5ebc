/** What the benches of transfers share: a file, a raw pump beside them, and the sums. */
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { memoryMib } from "./process-memory.ts";
import { alone, type BenchRow, compared } from "./table.ts";
import { outputOption } from "./write-tables.ts";

/** The executable that is measured. */
export const VSOCKBOX = join(import.meta.dir, "../dist/vsockbox");

/** One run. */
export interface Run {
  seconds: number;
  /** Highest RSS of the process, in MiB. */
  peakMib: number;
}

/** The middle one. */
export const median = (all: number[]) => all.toSorted((a, b) => a - b)[all.length >> 1] ?? 0;

/** A service that is measured, too; ended when disposed. */
export interface Service extends AsyncDisposable {
  pid: number;
  /** Its highest RSS so far, in MiB. */
  peakMib(): number;
}

/** A directory with a file of random bytes; reads `--mib`, `--rounds`, `--scratch` and `--output`. */
export class TransferBench implements Disposable {
  readonly mib: number;
  readonly rounds: number;
  /** The directory for the tables. */
  readonly output: string | undefined;
  readonly #scratch: string;

  constructor() {
    const { values } = parseArgs({
      options: {
        mib: { type: "string", default: "1024" },
        rounds: { type: "string", default: "5" },
        ...outputOption,
        scratch: { type: "string", default: existsSync("/dev/shm") ? "/dev/shm" : tmpdir() },
      },
    });
    this.mib = Number(values.mib);
    this.rounds = Number(values.rounds);
    this.output = values.output;
    this.#scratch = mkdtempSync(join(values.scratch, "vsockbox-bench-"));
    this.#makeSource();
  }

  get #bytes(): number {
    return this.mib * 1024 * 1024;
  }

  /** The file that is copied. */
  get source(): string {
    return this.file("source");
  }

  /** The path of a file in the directory. */
  file(name: string): string {
    return join(this.#scratch, name);
  }

  #makeSource(): void {
    const block = new Uint8Array(1024 * 1024);
    for (let at = 0; at < block.length; at += 65_536)
      crypto.getRandomValues(block.subarray(at, at + 65_536));
    const fd = openSync(this.source, "w");
    for (let done = 0; done < this.#bytes; done += block.length) writeSync(fd, block);
    closeSync(fd);
  }

  /** Starts a service and waits until its socket is there. */
  async serve(words: string[], address: string): Promise<Service> {
    const child = Bun.spawn([VSOCKBOX, ...words], { stdio: ["ignore", "ignore", "ignore"] });
    while (!existsSync(address.slice("unix:".length))) await Bun.sleep(5);
    return {
      pid: child.pid,
      peakMib: () => memoryMib(child.pid, "VmHWM"),
      async [Symbol.asyncDispose]() {
        child.kill();
        await child.exited;
      },
    };
  }

  /** Runs the executable to its end. */
  async run(words: string[], stdio: [number | "ignore", number | "ignore"]): Promise<Run> {
    const begin = performance.now();
    const child = Bun.spawn([VSOCKBOX, ...words], { stdio: [...stdio, "inherit"] });
    if ((await child.exited) !== 0) throw new Error(`${words.join(" ")} failed`);
    const seconds = (performance.now() - begin) / 1000;
    return { seconds, peakMib: (child.resourceUsage()?.maxRSS ?? 0) / 1024 / 1024 };
  }

  /** Runs a copy to `target`, which has to be whole, and removes that. */
  async copy(words: string[], target: string): Promise<Run> {
    const result = await this.run(words, ["ignore", "ignore"]);
    this.#check(target);
    return result;
  }

  /** From file to file through `connect` and `listen`: what the sockets alone can do. */
  async pump(): Promise<Run> {
    const socket = this.file("pump.sock");
    const target = this.file("pumped");
    const [input, output] = [openSync(this.source, "r"), openSync(target, "w")];
    const listener = Bun.spawn([VSOCKBOX, "listen", `unix:${socket}`, "-q"], {
      stdio: ["ignore", output, "inherit"],
    });
    while (!existsSync(socket)) await Bun.sleep(5);
    const begin = performance.now();
    const sent = await this.run(["connect", `unix:${socket}`], [input, "ignore"]);
    await listener.exited;
    const seconds = (performance.now() - begin) / 1000;
    closeSync(input);
    closeSync(output);
    this.#check(target);
    return { seconds, peakMib: sent.peakMib };
  }

  #check(path: string): void {
    if (statSync(path).size !== this.#bytes) throw new Error(`${path} is not complete`);
    rmSync(path);
  }

  /** Runs each way and the pump in turns; returns the rows of a table. */
  async compare(ways: Readonly<Record<string, () => Promise<Run>>>): Promise<BenchRow[]> {
    const runs = new Map<string, Run[]>(Object.keys(ways).map((name) => [name, []]));
    const pumped: Run[] = [];
    for (let round = 0; round < this.rounds; round++) {
      pumped.push(await this.pump());
      for (const [name, way] of Object.entries(ways)) runs.get(name)?.push(await way());
    }
    const rate = (all: readonly Run[]) =>
      this.#bytes / 1e6 / median(all.map(({ seconds }) => seconds));
    const peak = (all: readonly Run[]) => Math.max(...all.map(({ peakMib }) => peakMib));
    const pump = { name: "connect and listen", value: rate(pumped), unit: "MB/s" };
    const speeds = [...runs].map(([name, all]) => {
      const what = `${name}, ${this.mib} MiB, median of ${this.rounds}`;
      return compared(what, { value: rate(all), unit: "MB/s" }, pump, "more");
    });
    const sizes = [...runs].map(([name, all]) =>
      alone(`highest RSS, ${name}`, Math.round(peak(all)), "MiB"),
    );
    sizes.push(alone("highest RSS, connect", Math.round(peak(pumped)), "MiB"));
    return [...speeds, ...sizes];
  }

  [Symbol.dispose](): void {
    rmSync(this.#scratch, { recursive: true, force: true });
  }
}
