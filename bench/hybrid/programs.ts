/** The C programs at the ends of the traffic, compiled at the time of the measurement. */
import { basename, join } from "node:path";

const DIRECTORY = import.meta.dir;

/** Paths of what was compiled. */
export interface Programs {
  /** Traffic, static: it runs in an empty guest too. */
  load: string;
  /** VMM and driver without a guest. */
  driver: string;
}

/**
 * Compiles into `directory`; undefined, with a line that says so, where gcc is missing.
 *
 * @throws {Error} with gcc's words where something does not compile.
 */
export function compilePrograms(scratch: string): Programs | undefined {
  if (Bun.which("gcc") === null) {
    console.warn("SKIPPED: gcc is missing, which compiles the ends of the traffic");
    return undefined;
  }
  return {
    load: compileProgram(scratch, join(DIRECTORY, "load.c"), ["-static"]),
    driver: compileProgram(scratch, join(DIRECTORY, "vhost-driver.c"), []),
  };
}

/**
 * Compiles a program of C into `scratch`, and returns its path.
 *
 * @throws {Error} with gcc's messages if it does not compile.
 */
export function compileProgram(scratch: string, source: string, options: string[]): string {
  const target = join(scratch, basename(source, ".c"));
  const command = ["gcc", "-O2", "-Wall", ...options, "-o", target, source];
  const { exitCode, stderr } = Bun.spawnSync(command, { stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}\n${stderr.toString()}`);
  return target;
}
