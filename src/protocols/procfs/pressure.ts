/**
 * /proc/pressure/{cpu,memory,io}: pressure stall information. The line `some` counts the time in which at
 * least one task waited for the resource, `full` that in which all of them did. Kernels without
 * CONFIG_PSI, or started with psi=0, do not have these files.
 */
import { fieldsOf, unsignedOf } from "./numbers.ts";

const MICROSECONDS = 1e6;

/** Seconds of waiting since the boot; undefined if the line is missing. */
export interface Pressure {
  someSeconds: number | undefined;
  fullSeconds: number | undefined;
}

/** Reads one of the files of /proc/pressure. */
export function parsePressure(text: string): Pressure {
  const lines = text.split("\n").map(fieldsOf);
  const seconds = (name: string) => {
    const fields = lines.find(([first]) => first === name) ?? [];
    const total = fields.find((field) => field.startsWith("total="))?.slice("total=".length);
    const microseconds = unsignedOf(total);
    return microseconds === undefined ? undefined : microseconds / MICROSECONDS;
  };
  return { someSeconds: seconds("some"), fullSeconds: seconds("full") };
}
