/** What goes with executables that others are to have: copies, licences, materials, hashes. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Executable } from "../build/executable.ts";
import { ROOT, sha256 } from "../build/inputs.ts";
import type { Made } from "../build/stamped.ts";
import { BILL_OF_MATERIALS, billOfMaterials } from "./bill-of-materials.ts";
import { CHECKSUMS, checksumLines, writeWhole } from "./checksums.ts";
import { compressAll } from "./compress.ts";
import { THIRD_PARTY_LICENCES, thirdPartyLicences } from "./licences.ts";
import { bundledPackages } from "./npm-packages.ts";

/** How a release is made. */
export interface ReleaseOptions {
  outdir: string;
  force: boolean;
  /** zstd's level, 1 to 19, or 0 for no copies. */
  level: number;
}

/** Makes everything but the executables; returns the files in the order in which they were made. */
export async function makeRelease(
  executables: readonly Executable[],
  { outdir, force, level }: ReleaseOptions,
): Promise<Made[]> {
  // Until the last file is there, none of them is vouched for.
  rmSync(join(outdir, CHECKSUMS), { force: true });
  const packages = await bundledPackages();
  const texts = [
    put(outdir, "LICENSE", readFileSync(join(ROOT, "LICENSE"), "utf8")),
    put(outdir, THIRD_PARTY_LICENCES, thirdPartyLicences(executables, packages)),
    put(outdir, BILL_OF_MATERIALS, billOfMaterials(executables, packages)),
  ];
  // Last, since it needs minutes in which the sources may change.
  const copies = level > 0 ? await compressAll(executables, { level, force }) : [];
  if (level === 0) for (const { path } of executables) dropCopy(path);
  const files = [...executables, ...copies, ...texts];
  return [...texts, ...copies, put(outdir, CHECKSUMS, checksumLines(files))];
}

/** A copy of another build must not stay beside the executable. */
function dropCopy(path: string): void {
  for (const suffix of [".zst", ".zst.stamp"]) rmSync(`${path}${suffix}`, { force: true });
}

function put(directory: string, name: string, text: string): Made {
  const begin = performance.now();
  const path = writeWhole(directory, name, text);
  return {
    path,
    bytes: Buffer.byteLength(text),
    sha256: sha256(text),
    cached: false,
    milliseconds: Math.round(performance.now() - begin),
  };
}
