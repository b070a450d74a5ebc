/** One executable under its final name. */
import { join } from "node:path";
import { findRuntime, type Runtime } from "../self-contained/libraries.ts";
import { compile, makeSelfContained, tryOut } from "./compile.ts";
import { hashOf, inputKey } from "./inputs.ts";
import { makeStamped, type Made } from "./stamped.ts";
import type { Job } from "./targets.ts";

/** How executables are built. */
export interface BuildOptions {
  outdir: string;
  force: boolean;
  /** Directories of libraries by architecture. */
  libraries: Readonly<Partial<Record<string, string>>>;
}

/** An executable that was built. */
export interface Executable extends Made {
  job: Job;
  /** The parts that were packed into it. */
  runtime: Runtime | undefined;
}

/** Builds if that is necessary. */
export async function buildExecutable(
  job: Job,
  { outdir, force, libraries }: BuildOptions,
): Promise<Executable> {
  const { architecture } = job;
  const runtime = job.selfContained
    ? findRuntime(architecture, libraries[architecture])
    : undefined;
  const packed = runtime === undefined ? [] : [runtime.loader, ...runtime.libraries];
  const made = await makeStamped(join(outdir, job.name), {
    key: hashOf(inputKey(job.target), ...packed.flatMap(({ name, bytes }) => [name, bytes])),
    force,
    make: async (temporary) => {
      await compile(job, temporary);
      if (runtime !== undefined) makeSelfContained(temporary, runtime);
      if (job.isHost) tryOut(temporary, job.target);
    },
  });
  return { ...made, job, runtime };
}
