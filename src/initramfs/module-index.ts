/** Reads the index of a kernel's modules: the text files that depmod(8) writes. */
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { VsockboxError } from "../errors.ts";

/** A directory of modules. */
export interface ModuleTree {
  /** The directory with modules.dep. */
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

/** The indexes of a module directory. */
export interface ModuleIndex {
  /** By name: the file, and the names of its dependencies. */
  files: ReadonlyMap<string, { path: string; needs: readonly string[] }>;
  builtin: ReadonlySet<string>;
  /** By name: other modules, or aliases of them, that are to be loaded first, if there are any. */
  softNeeds: ReadonlyMap<string, readonly string[]>;
  /** By alias, such as `crypto-crc32c`: names. */
  aliases: ReadonlyMap<string, readonly string[]>;
}

/** Contents of the files that depmod(8) writes; all but modules.dep may be empty. */
export interface ModuleTexts {
  dependencies: string;
  builtin: string;
  softDependencies: string;
  aliases: string;
}

const optionalText = (path: string) => (existsSync(path) ? readFileSync(path, "utf8") : "");

/**
 * Reads the indexes of a module directory.
 *
 * @throws {VsockboxError} UNAVAILABLE if there is no modules.dep.
 */
export function readModuleIndex(tree: ModuleTree): ModuleIndex {
  const [dependenciesFile, builtinFile] = moduleIndexes(tree);
  if (!existsSync(dependenciesFile)) {
    throw new VsockboxError({
      code: "UNAVAILABLE",
      operation: "read kernel modules",
      address: tree.modules,
      message: "there is no modules.dep in it",
      hint: "name the directory of one kernel, such as /lib/modules/VERSION; depmod(8) writes modules.dep",
    });
  }
  return parseModuleIndex(tree.modules, {
    dependencies: readFileSync(dependenciesFile, "utf8"),
    builtin: optionalText(builtinFile),
    softDependencies: optionalText(join(tree.modules, "modules.softdep")),
    aliases: optionalText(join(tree.modules, "modules.alias")),
  });
}

/** Returns the indexes that the texts contain; lines of another form are skipped. */
export function parseModuleIndex(directory: string, texts: ModuleTexts): ModuleIndex {
  const files = new Map<string, { path: string; needs: string[] }>();
  for (const line of texts.dependencies.split("\n")) {
    const [path = "", needs = ""] = line.split(":");
    if (path !== "") {
      const names = needs.trim().split(" ").filter(Boolean).map(moduleName);
      files.set(moduleName(path), { path: join(directory, path), needs: names });
    }
  }
  return {
    files,
    builtin: new Set(texts.builtin.split("\n").filter(Boolean).map(moduleName)),
    softNeeds: softNeedsOf(texts.softDependencies.split("\n")),
    aliases: aliasesOf(texts.aliases.split("\n")),
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
