/** Databases of sqlite with many tables, in each journal mode, and with two writers. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expectSame, type Workload, type WorkPlace } from "./workload.ts";

const TABLES = 30;
const TRANSACTIONS = 60;
const ROWS_A_TRANSACTION = 100;
/** Journal modes that are used in one run each. */
const JOURNAL_MODES = ["delete", "truncate", "persist", "wal"];
/** Rows of each of two writers. */
const ROWS_A_WRITER = 150;

/** Statements that fill a database, change it, and give back what is free. */
function fill(journal: string): string {
  const lines = [`pragma journal_mode = ${journal};`];
  for (let table = 0; table < TABLES; table++) {
    lines.push(
      `create table t${table} (id integer primary key, key text unique, value blob);`,
      `create index i${table} on t${table} (length(value), key);`,
    );
  }
  for (let index = 0; index < TRANSACTIONS; index++) {
    lines.push("begin;");
    for (let row = 0; row < ROWS_A_TRANSACTION; row++) {
      const id = index * ROWS_A_TRANSACTION + row;
      const value = "ab".repeat((id * 7) % 600);
      lines.push(`insert into t${id % TABLES} values (${id}, 'key ${id}', x'${value}');`);
    }
    lines.push(index % 10 === 9 ? "rollback;" : "commit;");
  }
  for (let table = 0; table < TABLES; table++) {
    lines.push(
      `update t${table} set value = zeroblob(3000) where id % 7 = 0;`,
      `delete from t${table} where id % 5 = 0;`,
      ...(table % 6 === 0 ? [`drop table t${table};`] : []),
    );
  }
  lines.push("vacuum;", "pragma integrity_check;");
  return lines.join("\n");
}

const inserts = (writer: string) =>
  Array.from(
    { length: ROWS_A_WRITER },
    (_, index) => `insert into w values ('${writer}', ${index});`,
  );

/** Two programs that write one database, and one that reads it. */
async function twoWriters(place: WorkPlace, journal: string): Promise<void> {
  for (const writer of ["a", "b"]) {
    writeFileSync(join(place.source, writer), inserts(writer).join("\n"));
  }
  const database = `writers-${journal}.db`;
  const open = `sqlite3 -cmd '.timeout 120000' ${database}`;
  await place.mounted(
    `sqlite3 ${database} 'pragma journal_mode = ${journal}; create table w (writer text, row int);' && ` +
      `{ ${open} < a & first=$!; ${open} < b & second=$!; ` +
      `${open} 'select count(*) from w' > read; wait $first && wait $second; }`,
  );
  const question =
    "pragma integrity_check; select writer, count(*), sum(row) from w group by writer";
  const sum = (ROWS_A_WRITER * (ROWS_A_WRITER - 1)) / 2;
  const expected = `ok\na|${ROWS_A_WRITER}|${sum}\nb|${ROWS_A_WRITER}|${sum}\n`;
  const ask = `sqlite3 ${database} '${question}'`;
  expectSame(`rows of two writers, ${journal}`, await place.mounted(ask), expected);
  expectSame(`rows of two writers on the host, ${journal}`, await place.host(ask), expected);
}

async function run(place: WorkPlace): Promise<void> {
  for (const journal of JOURNAL_MODES) {
    writeFileSync(join(place.source, "fill"), fill(journal));
    const filled = await place.mounted(`sqlite3 ${journal}.db < fill`);
    expectSame(`integrity, ${journal}`, filled, `${journal}\nok\n`);
    const local = `${place.scratch}/${journal}.db`;
    await place.host(`sqlite3 ${local} < fill`);
    const dump = (database: string) => `sqlite3 ${database} .dump | sha256sum`;
    const expected = await place.host(dump(local));
    expectSame(`dump, ${journal}`, await place.mounted(dump(`${journal}.db`)), expected);
    expectSame(`dump on the host, ${journal}`, await place.host(dump(`${journal}.db`)), expected);
  }
  for (const journal of ["delete", "wal"]) await twoWriters(place, journal);
}

export const SQLITE: Workload = {
  name: "sqlite3: 30 tables, rollback journals and WAL, two writers",
  programs: ["sqlite3"],
  run,
};
