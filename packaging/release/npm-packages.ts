/** The npm packages whose code is in the executables. The working directory is that of the sources. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BUNDLE } from "../build/compile.ts";

/** A package as package-lock.json has it. */
export interface NpmPackage {
  name: string;
  version: string;
  /** As in `sha512-BASE64`: of the package's archive. */
  integrity: string;
  /** An SPDX expression. */
  licence: string;
  /** The text of its licence file. */
  licenceText: string;
  /** Names of packages that it asks for, whether or not they are in the executables. */
  dependencies: readonly string[];
}

interface LockEntry {
  version?: string;
  integrity?: string;
  license?: string;
  dependencies?: Record<string, string>;
}

/**
 * Bundles once more, and determines which packages contributed bytes.
 *
 * @throws {Error} if node_modules differs from package-lock.json, or a licence is missing.
 */
export async function bundledPackages(): Promise<NpmPackage[]> {
  const { success, logs, metafile } = await Bun.build({
    ...BUNDLE,
    entrypoints: [...BUNDLE.entrypoints],
    target: "bun",
    metafile: true,
  });
  if (!success || metafile === undefined) throw new Error(`bundling failed:\n${logs.join("\n")}`);
  const directories = new Set<string>();
  for (const { inputs } of Object.values(metafile.outputs)) {
    for (const [path, { bytesInOutput }] of Object.entries(inputs)) {
      // As package-lock.json has it: from our node_modules, which may be a link, to the innermost one.
      const directory = /node_modules\/(?:.*node_modules\/)?(?:@[^/]+\/)?[^/]+/.exec(path)?.[0];
      if (directory !== undefined && bytesInOutput > 0) directories.add(directory);
    }
  }
  const lock = JSON.parse(readFileSync("package-lock.json", "utf8")) as {
    packages: Record<string, LockEntry>;
  };
  return [...directories]
    .sort()
    .map((directory) => readPackage(directory, lock.packages[directory]));
}

function readPackage(directory: string, entry: LockEntry | undefined): NpmPackage {
  const installed = JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as {
    name: string;
    version: string;
  };
  if (entry?.version === undefined || entry.integrity === undefined) {
    throw new Error(`package-lock.json has no version and integrity of ${directory}`);
  }
  if (entry.version !== installed.version) {
    throw new Error(`${directory} is ${installed.version}, not ${entry.version}: run npm ci`);
  }
  const file = readdirSync(directory).find((name) => /^licen[cs]e(\.\w+)?$/i.test(name));
  if (entry.license === undefined || file === undefined) {
    throw new Error(`${directory} has no licence`);
  }
  return {
    name: installed.name,
    version: entry.version,
    integrity: entry.integrity,
    licence: entry.license,
    licenceText: readFileSync(join(directory, file), "utf8"),
    dependencies: Object.keys(entry.dependencies ?? {}),
  };
}
