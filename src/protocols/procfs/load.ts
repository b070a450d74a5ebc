/** /proc/loadavg and /proc/uptime. */
import { decimalOf, fieldsOf } from "./numbers.ts";

/** Returns the mean number of runnable processes of 1, 5 and 15 minutes; undefined if one is missing. */
export function parseLoad(text: string): [number, number, number] | undefined {
  const [one, five, fifteen] = fieldsOf(text).slice(0, 3).map(decimalOf);
  if (one === undefined || five === undefined || fifteen === undefined) return undefined;
  return [one, five, fifteen];
}

/** Returns the seconds since the boot; undefined for another text. */
export function parseUptime(text: string): number | undefined {
  return decimalOf(fieldsOf(text)[0]);
}
