/**
 * The exports of `src/`: each value is used by another source file, and no two of different things share
 * a name. A value that its own file uses may be exported for a test or for the build.
 */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { sourceFiles } from "../support/imports.ts";

const ROOT = join(import.meta.dir, "../..");

/** Values that no source file uses, each with its reason. */
const UNUSED: Readonly<Record<string, string>> = {
  "bench/svg.ts SVG_STYLE": "the plots of bench/ have it as well",
  "diagnose/finding.ts FINDING_CODES": "the list that docs/doctor.md is compared with",
  "elf/elf-file.ts PF": "packaging/self-contained/ writes program headers",
  "elf/elf-file.ts writeProgramHeader": "packaging/self-contained/ writes program headers",
  "elf/elf-file.ts writeEntry": "packaging/self-contained/ writes dynamic sections",
  "elf/elf-head.ts architectureOf": "packaging/self-contained/ checks the libraries",
  "ffi/memfd.ts MFD_ALLOW_SEALING": "guest memory of tests; only src/ffi imports bun:ffi",
  "ffi/wait.ts becomeSubreaper": "stands for PID 1 in tests; only src/ffi imports bun:ffi",
  "json/bounded-json.ts jsonExcess": "the check of the parser, without the parser",
  "operations.ts PHRASES": "the test holds each operation of the sources against it",
  "process/service/notify.ts notifyStatus":
    "the third message of the protocol, beside ready and stopping",
  "protocols/vhost-user/encode.ts encodeRequest": "the VMM's half of the codec",
  "protocols/vhost-user/encode.ts encodeVringAddresses": "the VMM's half of the codec",
  "protocols/vhost-user/encode.ts encodeRingDescriptor": "the VMM's half of the codec",
  "protocols/vhost-user/encode.ts encodeRegions": "the VMM's half of the codec",
  "protocols/vhost-user/encode.ts encodeRegion": "the VMM's half of the codec",
  "vm/uml.ts umlGuestFiles": "a guest that boots guests, in tests/vm/uml.ts",
};

/** Names that two things share: `command` is what each command's file exports. */
const SHARED: ReadonlySet<string> = new Set(["command"]);

interface Export {
  file: string;
  name: string;
  isType: boolean;
}

const EXPORT =
  /^export (?:declare )?(?:abstract )?(?:async )?(const enum|function\*?|const|let|class|interface|type|enum)\s+(\w+)/gm;

function exportsOf(file: string, code: string): Export[] {
  return [...code.matchAll(EXPORT)].map(([, kind, name = ""]) => ({
    file,
    name,
    isType: kind === "interface" || kind === "type",
  }));
}

const NAMED = /(?:import|export)\s+(?:type\s+)?(?:\{([^}]*)\}|\* as \w+|\*)\s+from\s+"(\.[^"]+)"/g;
const LAZY = /\{([^{}]*)\}\s*=\s*await import\(\s*"(\.[^"]+)"/g;
const MEMBER = /import\(\s*"(\.[^"]+)"\s*\)\)?\s*\.\s*(?:then\(\(\{([^}]*)\}\)|(\w+))/g;

/** The imported names of a file as `PATH NAME`; `PATH *` for all of them. */
function importedBy(file: string, code: string): string[] {
  const pathOf = (name: string) => relative(".", join(dirname(file), name));
  const split = (names: string | undefined, path: string) =>
    (names ?? "*").split(",").flatMap((part) => {
      const [name = ""] = part
        .trim()
        .replace(/^type\s+/, "")
        .split(/\s+as\s+|\s*:/);
      return name === "" ? [] : [`${pathOf(path)} ${name}`];
    });
  return [
    ...[...code.matchAll(NAMED)].flatMap(([, names, path = ""]) => split(names, path)),
    ...[...code.matchAll(LAZY)].flatMap(([, names, path = ""]) => split(names, path)),
    ...[...code.matchAll(MEMBER)].flatMap(([, path = "", names, name]) =>
      split(names ?? name, path),
    ),
  ];
}

function readTree(directory: string): Map<string, string> {
  const root = join(ROOT, directory);
  const read = (file: string) =>
    readFileSync(join(root, file), "utf8").replace(/\/\*[^]*?\*\//g, "");
  return new Map(sourceFiles(root).map((file) => [file, read(file)]));
}

const sources = readTree("src");
const all = [...sources].flatMap(([file, code]) => exportsOf(file, code));
const imported = new Set([...sources].flatMap(([file, code]) => importedBy(file, code)));
const others = ["tests", "packaging", "bench"].flatMap((directory) =>
  Array.from(readTree(directory).values()),
);
const rootFiles = readdirSync(ROOT).filter((name) => name.endsWith(".ts"));
const otherWords = new Set(
  [...others, ...rootFiles.map((name) => readFileSync(join(ROOT, name), "utf8"))].flatMap(
    (code) => code.match(/\w+/g) ?? [],
  ),
);

/** Whether another source file uses it, or its own file does and a test as well; types: any file. */
function isUsed({ file, name, isType }: Export): boolean {
  if (imported.has(`${file} ${name}`) || imported.has(`${file} *`)) return true;
  const count = sources.get(file)?.match(new RegExp(`\\b${name}\\b`, "g"))?.length ?? 0;
  return count > 1 && (isType || otherWords.has(name));
}

describe("the exports of the sources", () => {
  test("are found, and so are their imports", () => {
    const code =
      "export const A = 1;\nexport async function b() {}\nexport type C = 1;\nconst d = 2;";
    expect(exportsOf("x.ts", code).map(({ name }) => name)).toEqual(["A", "b", "C"]);
    const imports =
      'import { type A, b as c } from "../y/z.ts";\nconst { d } = await import("./e.ts");\n';
    expect(importedBy("x/w.ts", imports)).toEqual(["y/z.ts A", "y/z.ts b", "x/e.ts d"]);
    expect(all.length).toBeGreaterThan(1000);
  });

  test("are used by the sources, but for the listed ones", () => {
    const unused = all.filter((found) => !isUsed(found)).map(({ file, name }) => `${file} ${name}`);
    expect(unused.filter((found) => !Object.hasOwn(UNUSED, found))).toEqual([]);
  });

  test("have different names, but for the listed ones", () => {
    const files = new Map<string, string[]>();
    for (const { file, name } of all) {
      // A union and the constants of its values may have one name in one file.
      files.set(name, [...new Set(files.get(name)).add(file)]);
    }
    const shared = [...files].filter(([, { length }]) => length > 1);
    expect(shared.filter(([name]) => !SHARED.has(name))).toEqual([]);
  });
});
