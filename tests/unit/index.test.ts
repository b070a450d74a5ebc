/** The names and types that the library exports: a change of them is a change for programs. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as library from "../../src/index.ts";
import { ScratchDirectory } from "../support/scratch-directory.ts";
import { readSurface } from "../support/surface.ts";

const FROZEN = join(import.meta.dir, "index.surface.txt");

/** Set to write the file instead of comparing with it. */
const UPDATE = "VSOCKBOX_UPDATE_SURFACE";

const surface = readSurface(join(import.meta.dir, "../../src"));

describe("the surface of the library", () => {
  test(`is that of index.surface.txt; ${UPDATE}=1 writes it anew`, () => {
    if (process.env[UPDATE] === "1") writeFileSync(FROZEN, surface);
    expect(surface).toBe(readFileSync(FROZEN, "utf8"));
  });

  test("contains each value that a program can import, and no other", () => {
    const listed = [...surface.matchAll(/^export (\w+)$/gm)].map(([, name = ""]) => name);
    expect(listed.toSorted()).toEqual(Object.keys(library).toSorted());
  });
});

describe("the reader of the surface", () => {
  function surfaceOf(files: Readonly<Record<string, string>>): string {
    using scratch = new ScratchDirectory();
    for (const [path, code] of Object.entries(files)) {
      mkdirSync(join(scratch.path, path, ".."), { recursive: true });
      writeFileSync(scratch.file(path), code);
    }
    return readSurface(scratch.path);
  }

  const INDEX = 'export { thing as shown, type Thing } from "./lib/thing.ts";\n';

  test("prints signatures without bodies, comments and private members", () => {
    const code = `import type { Other } from "../other.ts";
/** A { comment }. */
export class Thing {
  readonly size: number; // of bytes
  readonly #hidden = new Map<string, { a: number; b: string }>();
  constructor(size: number) {}
  get text(): string { return "}"; }
  async run({ a = 1, b }: { a?: number; b: Other } = {}): Promise<{ c: number }> { return {}; }
  #private(): void {}
}
export async function thing(name: string, count = 3): Promise<Thing> {
  return new Thing(count);
}
`;
    const other = "export interface Other {\n  /** Of x. */\n  x: readonly string[];\n}\n";
    expect(surfaceOf({ "index.ts": INDEX, "lib/thing.ts": code, "other.ts": other })).toBe(
      `export shown
  function thing(name: string, count?=): Promise<Thing>

export type Thing
  class Thing
    readonly size: number
    get text(): string
    run({ a?=, b }: { a?: number; b: Other }?=): Promise<{ c: number }>

mentioned Other (other.ts)
  interface Other
    x: readonly string[]
`,
    );
  });

  const before = "export type Thing = string;\nexport function thing(a: number): Thing {\n}\n";
  test.each([
    ["a type", "a: number", "a: string"],
    ["an optional parameter", "a: number", "a?: number"],
    ["a default", "a: number", "a = 1"],
    ["a mentioned type", "= string", "= string | undefined"],
    ["the result", "): Thing", "): Thing[]"],
  ])("shows a change of %s", (_, from, to) => {
    const after = before.replace(from, to);
    const of = (code: string) => surfaceOf({ "index.ts": INDEX, "lib/thing.ts": code });
    expect(of(after)).not.toBe(of(before));
    expect(of(before.replace("{\n}", "{ return 1; }"))).toBe(of(before));
  });

  test("prints the overloads, not the signature of their implementation", () => {
    const code = `export type Thing = 1;
export function thing(a: string): 1;
export function thing(a: number): 2;
export function thing(a: string | number): 1 | 2 {
  return 1;
}
`;
    const text = surfaceOf({ "index.ts": INDEX, "lib/thing.ts": code });
    expect(text).toContain("  function thing(a: string): 1\n  function thing(a: number): 2\n\n");
  });

  test("reads what a file exports all of", () => {
    const files = { "index.ts": 'export * from "./a.ts";\n', "a.ts": "export const A = 0x28;\n" };
    expect(surfaceOf(files)).toBe("export A\n  const A = 0x28\n");
  });
});
