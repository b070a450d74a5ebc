/** The C programs at the ends of the traffic, compiled at the time of the measurement. */
import { join } from "node:path";

const FOLDER = import.meta.dir;

/** Paths of what was compiled. */
export interface Programs {
  /** Traffic, static: it runs in an empty guest too. */
  load: string;
  /** VMM and driver without a guest. */
  driver: string;
}

/**
 * Compiles into `folder`; undefined, with a line that says so, where gcc is missing.
 *
 * @throws {Error} with gcc's words where something does not compile.
 */
export function compilePrograms(folder: string): Programs | undefined {
  if (Bun.which("gcc") === null) {
    console.warn("SKIPPED: gcc is missing, which compiles the ends of the traffic");
    return undefined;
  }
  return {
    load: compile(folder, "load", ["-static"]),
    driver: compile(folder, "vhost-driver", []),
  };
}

function compile(folder: string, name: string, options: string[]): string {
  const target = join(folder, name);
  const source = join(FOLDER, `${name}.c`);
  const command = ["gcc", "-O2", "-Wall", ...options, "-o", target, source];
  const { exitCode, stderr } = Bun.spawnSync(command, { stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}\n${stderr.toString()}`);
  return target;
}
