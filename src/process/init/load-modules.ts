/** Loading the kernel modules of an image, without any other program. */
import { release } from "node:os";
import { reasonOf } from "../../errors.ts";
import { ERRNO } from "../../ffi/errno.ts";
import { errnoMessage, errnoName } from "../../system-errors.ts";
import { loadModuleFile } from "../../ffi/kernel-module.ts";
import { moduleParameters } from "./kernel-command-line.ts";

/** The modules to load. */
export interface ModuleLoad {
  /** In load order. */
  names: readonly string[];
  pathOf(name: string): string;
  /** Words of the kernel's command line, which may have parameters for modules. */
  commandLine: readonly string[];
  /** The version of Linux that they are for, if it is known. */
  kernel: string | undefined;
  /** finit_module(2); tests stand in for it. */
  load?: (path: string, parameters: string) => number;
}

/** What came of it. */
export interface LoadedModules {
  loaded: string[];
  /** Those for which there is no device, which is nothing bad. */
  unneeded: string[];
  /** What failed, in words. Nothing of it stops the rest. */
  warnings: string[];
}

/** Loads the modules. Modules that are loaded already are skipped. Never throws. */
export function loadModules(request: ModuleLoad): LoadedModules {
  const { names, pathOf, commandLine, kernel, load = loadModuleFile } = request;
  const result: LoadedModules = { loaded: [], unneeded: [], warnings: [] };
  const running = release();
  if (names.length > 0 && kernel !== undefined && kernel !== running) {
    result.warnings.push(`the modules are for Linux ${kernel}, and this is ${running}`);
  }
  for (const name of names) {
    try {
      const errno = load(pathOf(name), moduleParameters(commandLine, name));
      if (errno === 0) result.loaded.push(name);
      else if (errno === ERRNO.ENODEV) result.unneeded.push(name);
      else if (errno !== ERRNO.EEXIST) {
        result.warnings.push(
          `cannot load module ${name}: ${errnoMessage(errno)} (${errnoName(errno)})${errno === ERRNO.ENOEXEC ? "; it is for another kernel" : ""}`,
        );
      }
    } catch (thrown) {
      result.warnings.push(`cannot load module ${name}: ${reasonOf(thrown).message}`);
    }
  }
  return result;
}
