/** Loading kernel modules: finit_module(2), which Linux has had since 3.8. */
import { closeSync, openSync } from "node:fs";
import { cString, lastErrno, libc, ptr } from "./libc.ts";

/** The number of finit_module(2), linux/unistd.h, by architecture; libc has no wrapper. */
const SYS_FINIT_MODULE = process.arch === "arm64" ? 273 : 313;

/**
 * Loads a module that is not compressed.
 *
 * @param parameters as in "device=512@0xfeb00e00:12 debug=1".
 * @returns 0, or the errno: EEXIST if it is loaded already, ENODEV if it finds no device, ENOEXEC
 * if it is for another kernel.
 * @throws errors of openSync.
 */
export function loadModuleFile(path: string, parameters: string): number {
  const fd = openSync(path, "r");
  try {
    const text = cString(parameters);
    const result = libc().syscall(SYS_FINIT_MODULE, fd, ptr(text), 0n, 0n);
    return Number(result) < 0 ? lastErrno() : 0;
  } finally {
    closeSync(fd);
  }
}
