/**
 * shell-client's transfers against a raw pump (`listen` and `connect`) over Unix sockets in the same
 * run, in turns, with the C programs' 4,096-byte messages beside it. Prints a table;
 * `bun run bench/shell.ts [--mib N] [--rounds N] [--directory DIR]`.
 */
import { cpus } from "node:os";
import { TransferBench } from "./transfer-bench.ts";

using bench = new TransferBench();
const address = `unix:${bench.file("shell.sock")}`;
const target = bench.file("copied");
await using server = await bench.serve(["shell-server", "--listen", address], address);

const ways = {
  upload: ["-u", `${bench.source}:${target}`],
  download: ["-d", `${bench.source}:${target}`],
  "upload, 4,096-byte messages": ["--plain", "-u", `${bench.source}:${target}`],
  "download, 4,096-byte messages": ["--plain", "-d", `${bench.source}:${target}`],
  "upload with a sha256 at both ends": ["--checksum", "-u", `${bench.source}:${target}`],
};

const results = await bench.compare(
  Object.fromEntries(
    Object.entries(ways).map(([name, words]) => [
      name,
      () => bench.copy(["shell-client", address, "-q", ...words], target),
    ]),
  ),
);
console.log(
  `Bun ${Bun.version}, linux ${process.arch}, ${cpus().length} cores (${cpus()[0]?.model})\n`,
);
console.log("| what | vsockbox | beside it | ratio |\n| --- | --- | --- | --- |");
for (const row of results) console.log(`| ${row.join(" | ")} |`);
console.log(`| highest RSS of the server over all | ${server.peakMib().toFixed(0)} MiB | | |`);
