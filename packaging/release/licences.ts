/** THIRD-PARTY-LICENSES.txt: the authors and licences of the parts of the executables. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Executable } from "../build/executable.ts";
import { ROOT } from "../build/inputs.ts";
import {
  type BunPart,
  GLIBC_BUILDS_ONLY,
  JAVASCRIPT_CORE,
  LINKED_LIBRARIES,
  POLYFILLS,
} from "./bun-parts.ts";
import type { NpmPackage } from "./npm-packages.ts";
import { CHANGE, packedFiles } from "./packed-files.ts";

/** Name of the file in the release's directory. */
export const THIRD_PARTY_LICENCES = "THIRD-PARTY-LICENSES.txt";

/** Texts that need not come with an installed package. */
const TEXTS = join(ROOT, "packaging/licences");

/** Texts of Bun's libraries by the names of {@link BunPart}. */
export const BUN_TEXTS = join(TEXTS, "bun");

/** Whole licences that more than one part refers to. */
const COMMON = ["LGPL-2.1", "LGPL-2.0", "Apache-2.0"];

/** The document. */
export function thirdPartyLicences(
  executables: readonly Executable[],
  packages: readonly NpmPackage[],
): string {
  const sections = [
    ["Third parties in vsockbox's executables", introduction(executables)],
    ...packages.map(({ name, version, licence, licenceText }) => [
      `${name} ${version} (${licence})`,
      licenceText,
    ]),
    [`Bun ${Bun.version} (MIT)`, aboutBun(executables)],
    ...readdirSync(BUN_TEXTS)
      .sort()
      .map((file) => [`In Bun: ${file.replace(/\.txt$/, "")}`, text(join("bun", file))]),
    ...glibcSections(executables),
    ...COMMON.map((name) => [`The licence ${name}`, text(`${name}.txt`)]),
  ];
  const line = "=".repeat(80);
  return sections
    .map(([title, body]) => `${line}\n${title}\n${line}\n\n${(body ?? "").trim()}\n`)
    .join("\n");
}

const text = (name: string) => readFileSync(join(TEXTS, name), "utf8");

function introduction(executables: readonly Executable[]): string {
  const names = executables.map(({ job }) => `  ${job.name}\n`).join("");
  return `This belongs to

${names}
vsockbox itself is under the terms in LICENSE. The executables also hold packages from npm, Bun,
which runs them, and, where their names end in neither -glibc nor -musl, the GNU C Library.`;
}

function aboutBun(executables: readonly Executable[]): string {
  const glibc = executables.some(({ job }) => job.compiled.endsWith("-glibc"));
  const line = ({ name, licence, versionKey }: BunPart) => {
    const revision = versionKey === undefined ? undefined : process.versions[versionKey];
    return `  ${name}: ${licence}${revision === undefined ? "" : ` (${revision})`}\n`;
  };
  return `Bun is under the MIT License; its revision is ${Bun.revision}.
It is linked statically with

${[JAVASCRIPT_CORE, ...LINKED_LIBRARIES, ...(glibc ? GLIBC_BUILDS_ONLY : [])].map(line).join("")}
and has in it, under the MIT License: ${POLYFILLS.join(", ")}.

JavaScriptCore and tinycc are under the GNU Lesser (Library) General Public License, whose texts
are at the end. Bun is made from source with another JavaScriptCore by \`bun run build:local\` in
Bun's repository, where its licence page says more; what comes out of that makes vsockbox again:
\`path/of/that/bun run build.ts\` in vsockbox's repository compiles with the Bun that runs it.`;
}

function glibcSections(executables: readonly Executable[]): string[][] {
  const packed = executables.flatMap(({ job, runtime }) =>
    runtime === undefined ? [] : [{ job, runtime }],
  );
  if (packed.length === 0) return [];
  const lists = packed.map(({ job, runtime }) => {
    const files = packedFiles(runtime).map(
      ({ name, bytes, sha256, originalSha256: original }) =>
        `  ${sha256}  ${name}, ${bytes} bytes\n` +
        (original === undefined ? "" : `    (changed: ${CHANGE};\n    before: ${original})\n`),
    );
    return `${job.name} holds of ${runtime.glibc}, with their SHA-256:\n\n${files.join("")}`;
  });
  return [
    [
      "The GNU C Library (LGPL-2.1-or-later)",
      `${lists.join("\n")}
The files above are separate dynamic libraries, which are loaded at the start. To use others:

  bun run build.ts --only linux-x64 --libraries-x64 DIR
  bun run build.ts --only linux-arm64 --libraries-arm64 DIR

in vsockbox's repository pack the loader and the libraries of the directory DIR, for example a glibc
that you have changed. With --dynamic, and in the executables whose names end in -glibc, there are
none: these take the system's. Their source is the distribution's source package of the version
above (on Debian \`apt-get source glibc\`). The library's own notices follow.`,
    ],
    ["Notices of the GNU C Library, as Debian has them", text("glibc.txt")],
  ];
}
