/**
 * The longest functions of the tests, without groups of tests.
 *
 *     bun run tests/long-functions.ts [LINES]
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { measuredFunctions } from "./support/long-functions.ts";

const least = Number(process.argv[2] ?? 60);
const found = readdirSync(import.meta.dir, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .flatMap((path) =>
    measuredFunctions(readFileSync(join(import.meta.dir, path), "utf8"))
      .filter(({ kind, lineCount }) => kind !== "group" && lineCount > least)
      .map(({ kind, line, lineCount }) => ({ kind, lineCount, place: `tests/${path}:${line}` })),
  )
  .toSorted((a, b) => b.lineCount - a.lineCount);
for (const { kind, lineCount, place } of found) console.log(`${lineCount}\t${kind}\t${place}`);
