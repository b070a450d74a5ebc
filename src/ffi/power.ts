/** Powering off and rebooting: kill(2) of all processes, sync(2), reboot(2). */
import { lastErrno, libc } from "./libc.ts";

/** What reboot(2) can do, linux/reboot.h. */
export const RebootCommand = {
  poweroff: 0x4321_fedc,
  reboot: 0x0123_4567,
  halt: 0xcdef_0123,
} as const;

/** Sends a signal to every process but PID 1 and this one. Returns 0 or the errno. */
export function signalEverything(signal: number): number {
  return libc().kill(-1, signal) < 0 ? lastErrno() : 0;
}

/** sync(2): returns when everything is on the disks. */
export function syncFilesystems(): void {
  libc().sync();
}

/** reboot(2). Returns an errno, if it returns. libc adds the two magic numbers. */
export function rebootMachine(command: number): number {
  // The parameter is an int; the number of "halt" has its highest bit set.
  return libc().reboot(command | 0) < 0 ? lastErrno() : 0;
}
