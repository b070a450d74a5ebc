/**
 * How often comments have the words that tests/support/wording.ts lists, in 10,000 words.
 *
 *     bun run tests/wording.ts [--lines] [DIRECTORY...]
 *
 * Several directories give several columns; `--lines` lists each place of the first one.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { commentsOf, countHabits, countWords, HABITS } from "./support/wording.ts";

const args = process.argv.slice(2);
const directories = args.filter((word) => !word.startsWith("--"));
if (directories.length === 0) directories.push(join(import.meta.dir, "../src"));

function sources(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter(
      (path) => /\.(?:ts|js|go|rs)$/.test(path) && !/node_modules|vendor|_test\.go$/.test(path),
    )
    .map((path) => join(directory, path));
}

const columns = directories.map((directory) => {
  const comments = sources(directory)
    .map((path) => commentsOf(readFileSync(path, "utf8")))
    .join("\n");
  return { directory, words: countWords(comments), counts: countHabits(comments) };
});

console.log(
  ["habit", ...columns.map(({ directory, words }) => `${directory} (${words} words)`)].join("\t"),
);
for (const { name } of HABITS) {
  const cells = columns.map(({ words, counts }) =>
    (((counts.get(name) ?? 0) * 10_000) / Math.max(1, words)).toFixed(1),
  );
  console.log([name, ...cells].join("\t"));
}

if (args.includes("--lines")) {
  for (const path of sources(directories[0] ?? "src")) {
    const lines = readFileSync(path, "utf8").split("\n");
    lines.forEach((line, index) => {
      const isComment = /^\s*(?:\/?\*|\/\/)|\/\*\*|\s\/\/ /.test(line);
      const found = isComment ? HABITS.filter(({ pattern }) => line.match(pattern) !== null) : [];
      if (found.length > 0) console.log(`${path}:${index + 1}: ${line.trim()}`);
    });
  }
}
