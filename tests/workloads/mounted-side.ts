/** Where the programs of the workloads run: the side of the mount. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { CacheMode } from "../../src/vfs/mount/cache-policy.ts";
import type { WorkPlace } from "./workload.ts";
import { ENVIRONMENT } from "./workload.ts";

/** The directory of {@link compilePrograms} in the export. */
const PROGRAMS = ".programs";

/** A mount of an exported directory. */
export interface MountedSide extends AsyncDisposable {
  readonly isEmulated: boolean;
  mount(cache: CacheMode): Promise<void>;
  unmount(): Promise<void>;
  /** Runs a line of bash in a directory of the mount; any other status than 0 is an error. */
  run(line: string, directory: string): Promise<string>;
}

/** Compiles tests/fixtures/workload-files.c into an exported directory. */
export function compilePrograms(exported: string): void {
  mkdirSync(join(exported, PROGRAMS));
  const to = join(exported, PROGRAMS, "workload-files");
  const source = join(import.meta.dir, "../fixtures/workload-files.c");
  const { success, stderr } = Bun.spawnSync(["gcc", "-static", "-O2", "-o", to, source]);
  if (!success) throw new Error(`gcc: ${stderr.toString()}`);
}

/** What {@link spawnLine} starts. */
export interface Line {
  line: string;
  directory: string;
  seconds: number;
}

/** Bash's words of a line that ends at the first failure. */
export const strict = (line: string): string => `set -euo pipefail; ${line}`;

/** Runs a line of bash here, and returns its output; any other status than 0 is an error. */
export async function runLine({ line, directory, seconds }: Line, home: string): Promise<string> {
  const words = ["timeout", "-k", "5", String(seconds), "bash", "-c"];
  // A directory of the mount may not answer: only the child goes there, within its time.
  const child = Bun.spawn([...words, strict(`cd ${directory}; ${line}`)], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env["PATH"], HOME: home, ...ENVIRONMENT },
  });
  const [stdout, stderr, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (status !== 0) throw failedLine(line, status, stderr + stdout);
  return stdout;
}

const SHOWN_CHARACTERS = 300;

/** The error of a line that has failed. */
export function failedLine(line: string, status: number, output: string): Error {
  const shown = [line, output.trim()].map((text) => text.slice(0, SHOWN_CHARACTERS));
  return new Error(`status ${status} of \`${shown[0]}\`: ${shown[1]}`);
}

/** What {@link makePlace} makes a place of. */
export interface PlaceOptions {
  side: MountedSide;
  /** The exported directory. */
  exported: string;
  /** The workload's directory in it, relative. */
  directory: string;
  scratch: string;
  cache: CacheMode;
}

/** Makes a directory for a workload, through the mount. */
export async function makePlace(options: PlaceOptions): Promise<WorkPlace> {
  const { side, exported, directory, scratch, cache } = options;
  mkdirSync(scratch, { recursive: true });
  await side.run(`mkdir -p ${directory}`, ".");
  const source = join(exported, directory);
  const up = directory.replaceAll(/[^/]+/g, "..");
  return {
    source,
    scratch,
    program: `${up}/${PROGRAMS}/workload-files`,
    hostProgram: join(exported, PROGRAMS, "workload-files"),
    seesHostChanges: cache !== "always",
    isEmulated: side.isEmulated,
    mounted: (line) => side.run(line, directory),
    host: (line) => runLine({ line, directory: source, seconds: HOST_SECONDS }, scratch),
  };
}

/** Limit of a line on the host: a hang is a failure. */
const HOST_SECONDS = 900;
