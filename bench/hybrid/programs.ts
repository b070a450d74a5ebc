/** The C programs at the ends of the traffic, compiled at the time of the measurement. */
import { join } from "node:path";

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
    load: compile(scratch, "load", ["-static"]),
    driver: compile(scratch, "vhost-driver", []),
  };
}

function compile(scratch: string, name: string, options: string[]): string {
  const target = join(scratch, name);
  const source = join(DIRECTORY, `${name}.c`);
  const command = ["gcc", "-O2", "-Wall", ...options, "-o", target, source];
  const { exitCode, stderr } = Bun.spawnSync(command, { stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}\n${stderr.toString()}`);
  return target;
}
