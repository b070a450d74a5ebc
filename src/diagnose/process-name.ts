/** Processes as people call them. */
import { printable } from "../text/printable.ts";
import { lastPart, type HolderProcess } from "./facts/processes.ts";

/** Programs by their base name, as their users call them. */
const PROGRAMS: ReadonlyMap<string, string> = new Map([
  ["firecracker", "Firecracker"],
  ["cloud-hypervisor", "Cloud Hypervisor"],
]);

/** Returns a program with its pid: `Firecracker (pid 71)`, `vsockbox hybrid-proxy (pid 72)`. */
export function programName({ command, pid }: HolderProcess): string {
  const [first = "", second = ""] = command;
  const program = lastPart(first);
  const subcommand = program === "vsockbox" && /^[a-z]/.test(second) ? ` ${second}` : "";
  const name = PROGRAMS.get(program) ?? `${program}${subcommand}`;
  return `${printable(name, { maxCharacters: 60 })} (pid ${pid})`;
}
