/** From the sources to an executable. The working directory is that of the sources. */
import { readFileSync, writeFileSync } from "node:fs";
import { relative } from "node:path";
import type { Runtime } from "../self-contained/libraries.ts";
import { packedArchitecture, packSelfContained } from "../self-contained/pack.ts";
import { readStub } from "../self-contained/stub-image.ts";
import { identity, ROOT } from "./inputs.ts";
import { overwriteRuntimeVariables } from "./runtime-variables.ts";
import { COMPILE_TARGETS, type Job } from "./targets.ts";

/**
 * What every bundle has in common. Relative paths and a fixed working directory: no path of this
 * machine gets into the file.
 */
export const BUNDLE = {
  entrypoints: ["./src/main.ts"],
  root: ".",
  minify: true,
  format: "esm",
  // A command pays for its own imports only: that halves the start-up.
  splitting: true,
} as const;

/**
 * Compiles; the runtime of a foreign target comes from the npm registry.
 *
 * @throws {Error} with the compiler's output.
 */
export async function compile({ target, compiled, isHost }: Job, outfile: string): Promise<void> {
  const define = Object.fromEntries(
    Object.entries(identity(target)).map(([name, value]) => [name, JSON.stringify(value)]),
  );
  const result = await Bun.build({
    ...BUNDLE,
    entrypoints: [...BUNDLE.entrypoints],
    bytecode: true,
    define,
    compile: {
      outfile: relative(ROOT, outfile),
      ...(isHost ? {} : { target: COMPILE_TARGETS[compiled] }),
      autoloadDotenv: false,
      autoloadBunfig: false,
    },
  });
  if (!result.success) throw new Error(`building for ${target} failed:\n${result.logs.join("\n")}`);
  const bytes = readFileSync(outfile);
  overwriteRuntimeVariables(bytes);
  writeFileSync(outfile, bytes);
}

/** Puts the loader and the libraries into the executable at `path`. */
export function makeSelfContained(path: string, runtime: Runtime): void {
  const bytes = readFileSync(path);
  const program = { name: path, bytes };
  const { image: stub } = readStub(packedArchitecture(program));
  writeFileSync(path, packSelfContained({ program, ...runtime, stub }));
}

/**
 * Some failures of the compiler leave a file that does not run: so run it, also with the variables
 * that would make Bun of it or run other code.
 *
 * @throws {Error} if it does not report the target that it was built for.
 */
export function tryOut(path: string, target: string): void {
  const { exitCode, stdout, stderr } = Bun.spawnSync([path, "--version", "--json"], {
    env: { BUN_BE_BUN: "1", BUN_OPTIONS: "--preload=/nonexistent" },
    cwd: "/",
  });
  const answer =
    exitCode === 0 ? (JSON.parse(stdout.toString()) as { target?: string }) : undefined;
  if (answer?.target !== target) {
    throw new Error(
      `${path} was built but does not run (status ${exitCode}): ${stderr.toString()}`,
    );
  }
}
