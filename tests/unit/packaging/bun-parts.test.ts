/** What we say of Bun's parts is what Bun's licence page of this very version says. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { LINKED_LIBRARIES, POLYFILLS } from "../../../packaging/release/bun-parts.ts";
import { BUN_TEXTS } from "../../../packaging/release/licences.ts";

const PAGE = join(import.meta.dir, "../../../node_modules/bun-types/docs/project/license.mdx");

/** Bun's words, where they are not an SPDX identifier with a blank for the dash. */
const WORDS: Readonly<Record<string, string>> = {
  "Apache 2.0": "Apache-2.0",
  "Apache 2.0 licensed": "Apache-2.0",
  "BSD 2-Clause": "BSD-2-Clause",
  "BSD 3-Clause": "BSD-3-Clause",
  "BSD 3-Clause / IJG / zlib": "BSD-3-Clause AND IJG AND Zlib",
  "BSD 2-Clause (portions derived from libpng, PNG Reference Library License v2)":
    "BSD-2-Clause AND libpng-2.0",
  "ICU license": "Unicode-3.0",
  "LGPL v2.1": "LGPL-2.1-or-later",
  "MIT (bundled xxhash is BSD 2-Clause)": "MIT AND BSD-2-Clause",
  "MIT (portions derived from Chromium proto-quic, BSD 3-Clause)": "MIT AND BSD-3-Clause",
  "MIT licensed": "MIT",
  "dual-licensed under CC0 1.0 or the BSD 2-Clause License": "CC0-1.0 OR BSD-2-Clause",
  "dual-licensed under the BSD License or GPLv2 license": "BSD-3-Clause OR GPL-2.0-only",
  "dual-licensed under the Perl License or the MIT License":
    "MIT OR Artistic-1.0-Perl OR GPL-1.0-or-later",
  zlib: "Zlib",
};

/** On Linux, or not at all: Windows' libuv, and a part of Tigerbeetle for windows.zig. */
const ELSEWHERE = /windows/i;

const rows = readFileSync(PAGE, "utf8")
  .split("\n")
  .filter((line) => /^\| .*\[/.test(line))
  .filter((line) => !ELSEWHERE.test(line) || line.includes("on Linux"))
  .map((line) => line.split("|").map((cell) => cell.trim().replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")))
  .map(([, name = "", licence = ""]) => ({
    name: /`([^`]+)`/.exec(name)?.[1] ?? name,
    licence: WORDS[licence] ?? licence,
  }));

test("libraries and their licences", () => {
  const polyfills = new Set(POLYFILLS);
  expect(rows.filter(({ name }) => !polyfills.has(name))).toEqual(
    LINKED_LIBRARIES.map(({ name, licence }) => ({ name, licence })),
  );
});

test("JavaScript in the place of Node's modules, all of it MIT", () => {
  const libraries = new Set(LINKED_LIBRARIES.map(({ name }) => name));
  expect(rows.filter(({ name }) => !libraries.has(name))).toEqual(
    POLYFILLS.map((name) => ({ name, licence: "MIT" })),
  );
});

test("the running Bun reports the revisions that are requested", () => {
  for (const { versionKey } of LINKED_LIBRARIES) {
    if (versionKey !== undefined) expect(process.versions[versionKey]).toBeString();
  }
});

test("every licence that asks for its text to go along has it", () => {
  const elsewhere = new Set(["Apache-2.0", "LGPL-2.1-or-later", "public domain"]);
  for (const { name, licence } of LINKED_LIBRARIES.filter((it) => !elsewhere.has(it.licence))) {
    expect({ name, licence, text: existsSync(join(BUN_TEXTS, `${name}.txt`)) }).toMatchObject({
      text: true,
    });
  }
});
