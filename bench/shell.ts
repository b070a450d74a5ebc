/**
 * shell-client's transfers against a raw pump (`listen` and `connect`) over Unix sockets in the same
 * run, in turns, with the C programs' 4,096-byte messages beside it. Prints a table;
 * `bun run bench/shell.ts [--mib N] [--rounds N] [--scratch DIR] [--output DIR]`.
 */
import { alone, thisMachine } from "./table.ts";
import { TransferBench } from "./transfer-bench.ts";
import { writeTables } from "./write-tables.ts";

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
const peak = alone("highest RSS of the server over all", Math.round(server.peakMib()), "MiB");
const table = { id: "shell", title: "vsock-shell", machine: thisMachine(), peers: [] };
writeTables([{ ...table, rows: [...results, peak] }], bench.output);
