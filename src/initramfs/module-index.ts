/** What a kernel's module folder says of its modules: the text files that depmod(8) writes. */
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { VsockboxError } from "../errors.ts";

/** A folder of modules. */
export interface ModuleTree {
  /** The folder with modules.dep. */
  modules: string;
  /** How to get all of the kernel's modules. */
  installHint: string;
}

/** A module's name as the kernel has it, from its file's name or from what a user writes. */
export const moduleName = (path: string) =>
  basename(path)
    .replace(/\.ko(\.\w+)?$/, "")
    .replaceAll("-", "_");

/** The files by which modules are found. */
export function moduleIndexes({
  modules,
}: Pick<ModuleTree, "modules">): [dependencies: string, builtin: string] {
  return [join(modules, "modules.dep"), join(modules, "modules.builtin")];
}

/** The indexes of a module folder. */
export interface ModuleIndex {
  /** By name: the file, and the names of what it needs. */
  files: ReadonlyMap<string, { path: string; needs: readonly string[] }>;
  builtin: ReadonlySet<string>;
  /** By name: other modules, or aliases of them, that are to be loaded before, where there are such. */
  softNeeds: ReadonlyMap<string, readonly string[]>;
  /** By alias, such as `crypto-crc32c`: names. */
  aliases: ReadonlyMap<string, readonly string[]>;
}

const linesOf = (path: string) => readFileSync(path, "utf8").split("\n");

/** All but modules.dep may be missing. */
const optionalLinesOf = (path: string) => (existsSync(path) ? linesOf(path) : []);

/**
 * Reads the indexes of a module folder.
 *
 * @throws {VsockboxError} UNAVAILABLE where modules.dep is not there.
 */
export function readModuleIndex(tree: ModuleTree): ModuleIndex {
  const [dependenciesFile, builtinFile] = moduleIndexes(tree);
  if (!existsSync(dependenciesFile)) {
    throw new VsockboxError({
      code: "UNAVAILABLE",
      operation: "read kernel modules",
      address: tree.modules,
      message: "there is no modules.dep in it",
      hint: "name the folder of one kernel, such as /lib/modules/VERSION; depmod(8) writes modules.dep",
    });
  }
  const files = new Map<string, { path: string; needs: string[] }>();
  for (const line of linesOf(dependenciesFile)) {
    const [path = "", needs = ""] = line.split(":");
    if (path !== "") {
      const names = needs.trim().split(" ").filter(Boolean).map(moduleName);
      files.set(moduleName(path), { path: join(tree.modules, path), needs: names });
    }
  }
  return {
    files,
    builtin: new Set(optionalLinesOf(builtinFile).filter(Boolean).map(moduleName)),
    softNeeds: softNeedsOf(optionalLinesOf(join(tree.modules, "modules.softdep"))),
    aliases: aliasesOf(optionalLinesOf(join(tree.modules, "modules.alias"))),
  };
}

/** Lines `softdep NAME pre: NAME… post: NAME…`, modprobe.d(5). */
function softNeedsOf(lines: readonly string[]): Map<string, string[]> {
  const needs = new Map<string, string[]>();
  for (const line of lines) {
    const match = /^softdep (\S+) (?:.* )?pre: ([^:]*?)(?: post:.*)?$/.exec(line);
    if (match === null) continue;
    const name = moduleName(match[1] ?? "");
    needs.set(name, [...(needs.get(name) ?? []), ...(match[2] ?? "").split(" ").filter(Boolean)]);
  }
  return needs;
}

/** Lines `alias ALIAS NAME`; those with wildcards are of devices. */
function aliasesOf(lines: readonly string[]): Map<string, string[]> {
  const aliases = new Map<string, string[]>();
  for (const line of lines) {
    const [word, alias = "", name = ""] = line.split(" ");
    if (word !== "alias" || alias.includes("*")) continue;
    aliases.set(alias, [...(aliases.get(alias) ?? []), moduleName(name)]);
  }
  return aliases;
}
