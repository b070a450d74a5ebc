/**
 * `vsockbox bench` over a Unix socket: what vsockbox's own sockets carry on this machine, with different
 * sizes of messages and numbers of streams. Prints a table;
 * `bun run bench/connection.ts [--duration TIME] [--rounds N] [--output DIR]`.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { alone, type BenchRow, thisMachine } from "./table.ts";
import { median, VSOCKBOX } from "./transfer-bench.ts";
import { outputOption, writeTables } from "./write-tables.ts";

const { values } = parseArgs({
  options: {
    ...outputOption,
    duration: { type: "string", default: "2s" },
    rounds: { type: "string", default: "5" },
  },
});
const ROUNDS = Number(values.rounds);

const scratch = mkdtempSync(join(tmpdir(), "vsockbox-bench-"));
const socket = join(scratch, "bench.sock");

/** The keys of `bench run --json` that are read here. */
interface Result {
  to_server_bytes_per_second: number | null;
  from_server_bytes_per_second: number | null;
  operations_per_second: number | null;
  latency: { p50_ms: number; p99_ms: number } | null;
}

/** Medians of several runs with the same options. */
function measure(test: string, ...words: string[]): (read: (result: Result) => number) => number {
  const command = [VSOCKBOX, "bench", "run", `unix:${socket}`, "--test", test, "--json"];
  const all = Array.from({ length: ROUNDS }, () => {
    const { stdout, exitCode } = Bun.spawnSync(
      [...command, "--duration", values.duration, ...words],
      { stderr: "inherit" },
    );
    if (exitCode !== 0) throw new Error(`bench run has failed with ${exitCode}`);
    return JSON.parse(stdout.toString()) as Result;
  });
  return (read) => median(all.map(read));
}

const toServer = (result: Result) => (result.to_server_bytes_per_second ?? 0) / 1e6;
const fromServer = (result: Result) => (result.from_server_bytes_per_second ?? 0) / 1e6;
const perSecond = (result: Result) => result.operations_per_second ?? 0;

function rows(): BenchRow[] {
  const found: BenchRow[] = [];
  const bulk = (what: string, rate: number) => found.push(alone(what, rate, "MB/s"));
  for (const size of ["4KiB", "64KiB", "256KiB", "1MiB"]) {
    bulk(`upload, messages of ${size}`, measure("upload", "--message-size", size)(toServer));
  }
  bulk("download", measure("download")(fromServer));
  bulk("upload, 8 streams", measure("upload", "--streams", "8")(toServer));
  const both = measure("both");
  bulk("both at once, to the server", both(toServer));
  bulk("both at once, from the server", both(fromServer));
  const latency = measure("latency");
  found.push(
    alone("round trips of 64 bytes", latency(perSecond), "/s"),
    alone("their median", latency((result) => result.latency?.p50_ms ?? 0) * 1000, "µs"),
    alone("their 99th percentile", latency((result) => result.latency?.p99_ms ?? 0) * 1000, "µs"),
    alone("connects", measure("connects")(perSecond), "/s"),
  );
  return found;
}

const server = Bun.spawn([VSOCKBOX, "bench", "serve", `unix:${socket}`, "--quiet"], {
  stdio: ["ignore", "ignore", "inherit"],
});
try {
  while (!existsSync(socket)) await Bun.sleep(5);
  const title = `\`vsockbox bench\` over a Unix socket, median of ${ROUNDS}`;
  const table = { id: "connection", title, machine: thisMachine(), peers: [] };
  writeTables([{ ...table, rows: rows() }], values.output);
} finally {
  server.kill();
  await server.exited;
  rmSync(scratch, { recursive: true, force: true });
}
