/**
 * The release's bill of materials: CycloneDX 1.5, since SPDX demands a time of creation, which would
 * differ between equal builds. ECMA-424's schema has the names of the fields.
 */
import { basename } from "node:path";
import type { Executable } from "../build/executable.ts";
import { commit, version } from "../build/inputs.ts";
import {
  type BunPart,
  GLIBC_BUILDS_ONLY,
  JAVASCRIPT_CORE,
  LINKED_LIBRARIES,
  POLYFILLS,
} from "./bun-parts.ts";
import { describeGlibc } from "./glibc.ts";
import type { NpmPackage } from "./npm-packages.ts";
import { CHANGE, type PackedFile, packedFiles } from "./packed-files.ts";

/** Name of the file in the release's directory. */
export const BILL_OF_MATERIALS = "vsockbox.cdx.json";

interface Component {
  "bom-ref": string;
  type: "application" | "file" | "library" | "platform";
  name: string;
  version?: string;
  hashes?: { alg: "SHA-256" | "SHA-512"; content: string }[];
  licenses?: ({ license: { id?: string; name?: string } } | { expression: string })[];
  purl?: string;
  components?: Component[];
  pedigree?: { ancestors: Component[]; notes: string };
  properties?: { name: string; value: string }[];
}

/** The document as text. */
export function billOfMaterials(
  executables: readonly Executable[],
  packages: readonly NpmPackage[],
): string {
  const runtimes = runtimesOf(executables);
  const document = {
    bomFormat: "CycloneDX",
    specVersion: "1.5",
    version: 1,
    metadata: { component: product(executables) },
    components: [
      bun(executables),
      ...packages.map(npmComponent),
      ...runtimes.map(([architecture, { glibc, files }]) =>
        glibcComponent(architecture, glibc, files),
      ),
    ],
    dependencies: [
      ...executables.map(({ path, job }) => ({
        ref: basename(path),
        dependsOn: [
          "bun",
          ...packages.map(({ name }) => npmReference(name)),
          ...(job.selfContained ? [glibcReference(job.architecture)] : []),
        ],
      })),
      ...packages.map(({ name, dependencies }) => ({
        ref: npmReference(name),
        dependsOn: packages.filter((it) => dependencies.includes(it.name)).map(refOf),
      })),
    ],
  };
  return `${JSON.stringify(document, undefined, 2)}\n`;
}

const npmReference = (name: string) => `npm/${name}`;
const refOf = ({ name }: { name: string }) => npmReference(name);
const glibcReference = (architecture: string) => `glibc-${architecture}`;
const sha256Of = (content: string) => [{ alg: "SHA-256" as const, content }];
const property = (name: string, value: string | number) => ({
  name: `vsockbox:${name}`,
  value: String(value),
});

/** The packed files by architecture, each once. */
function runtimesOf(executables: readonly Executable[]) {
  const found = new Map<string, { glibc: string; files: PackedFile[] }>();
  for (const { job, runtime } of executables) {
    if (runtime === undefined) continue;
    found.set(job.architecture, { glibc: runtime.glibc, files: packedFiles(runtime) });
  }
  return [...found];
}

function product(executables: readonly Executable[]): Component {
  return {
    "bom-ref": "vsockbox",
    type: "application",
    name: "vsockbox",
    version: version(),
    licenses: licences("MIT"),
    components: executables.map(({ path, bytes, sha256: sum, job }) => ({
      "bom-ref": basename(path),
      type: "file",
      name: basename(path),
      hashes: sha256Of(sum),
      properties: [property("target", job.target), property("bytes", bytes)],
    })),
    properties: [property("commit", commit())],
  };
}

function bun(executables: readonly Executable[]): Component {
  const glibc = executables.some(({ job }) => job.compiled.endsWith("-glibc"));
  const parts = [JAVASCRIPT_CORE, ...LINKED_LIBRARIES, ...(glibc ? GLIBC_BUILDS_ONLY : [])];
  return {
    "bom-ref": "bun",
    type: "platform",
    name: "bun",
    version: Bun.version,
    licenses: licences("MIT"),
    purl: `pkg:npm/bun@${Bun.version}`,
    components: [
      ...parts.map(bunPart),
      ...POLYFILLS.map((name): Component => ({
        "bom-ref": `bun/polyfill/${name}`,
        type: "library",
        name,
        licenses: licences("MIT"),
      })),
    ],
    properties: [property("revision", Bun.revision)],
  };
}

function bunPart({ name, licence, versionKey }: BunPart): Component {
  const revision = versionKey === undefined ? undefined : process.versions[versionKey];
  return {
    "bom-ref": `bun/${name}`,
    type: "library",
    name,
    ...(revision === undefined ? {} : { version: revision }),
    licenses: licences(licence),
  };
}

function npmComponent({ name, version: number, integrity, licence }: NpmPackage): Component {
  return {
    "bom-ref": npmReference(name),
    type: "library",
    name,
    version: number,
    hashes: [{ alg: "SHA-512", content: sha512OfIntegrity(name, integrity) }],
    licenses: licences(licence),
    purl: `pkg:npm/${name.replace("@", "%40")}@${number}`,
  };
}

/** npm's form of a hash (Subresource Integrity) in hexadecimal. */
function sha512OfIntegrity(name: string, integrity: string): string {
  const [algorithm, base64] = integrity.split("-", 2);
  if (algorithm !== "sha512" || base64 === undefined) {
    throw new Error(`the integrity of ${name} is not a SHA-512: ${integrity}`);
  }
  return Buffer.from(base64, "base64").toString("hex");
}

function glibcComponent(
  architecture: string,
  glibc: string,
  files: readonly PackedFile[],
): Component {
  const { version: number, purl } = describeGlibc(glibc, architecture);
  const reference = glibcReference(architecture);
  return {
    "bom-ref": reference,
    type: "library",
    name: "glibc",
    version: number,
    licenses: licences("LGPL-2.1-or-later"),
    ...(purl === undefined ? {} : { purl }),
    components: files.map((file) => packedComponent(`${reference}/${file.name}`, file)),
    properties: [property("version-string", glibc)],
  };
}

function packedComponent(
  reference: string,
  { name, bytes, sha256: sum, originalSha256: original }: PackedFile,
): Component {
  const ancestor = (content: string): Component => ({
    "bom-ref": `${reference}/original`,
    type: "file",
    name,
    hashes: sha256Of(content),
  });
  return {
    "bom-ref": reference,
    type: "file",
    name,
    hashes: sha256Of(sum),
    licenses: licences("LGPL-2.1-or-later"),
    ...(original === undefined
      ? {}
      : { pedigree: { ancestors: [ancestor(original)], notes: CHANGE } }),
    properties: [property("bytes", bytes)],
  };
}

/** One identifier, an expression of several, or words for what has none. */
function licences(licence: string): NonNullable<Component["licenses"]> {
  if (/ (AND|OR|WITH) /.test(licence)) return [{ expression: licence }];
  return [{ license: licence.includes(" ") ? { name: licence } : { id: licence } }];
}
