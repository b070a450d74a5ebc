/** The end of every script: prints its tables, and writes each as JSON if `--output DIR` names a directory. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BenchTable, conditions, markdown } from "./table.ts";

/** The option of parseArgs that every script has. */
export const outputOption = { output: { type: "string" } } as const;

/** Prints tables, and writes them below `directory` if there is one. */
export function writeTables(tables: readonly BenchTable[], directory: string | undefined): void {
  for (const table of tables) {
    console.log(`\n## ${table.title}\n\n${conditions(table)}\n\n${markdown(table)}`);
    if (directory === undefined) continue;
    mkdirSync(directory, { recursive: true });
    const file = join(directory, `${table.id}.json`);
    writeFileSync(file, `${JSON.stringify(table, null, 2)}\n`);
    console.log(`\nwritten to ${file}`);
  }
}
