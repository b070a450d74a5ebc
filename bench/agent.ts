/**
 * cp and exec against a raw pump (`listen` and `connect`) over Unix sockets in the same run, in turns.
 * Prints a table; `bun run bench/agent.ts [--mib N] [--rounds N] [--scratch DIR] [--output DIR]`.
 */
import { connectAgent } from "vsockbox";
import { alone, type BenchRow, compared, thisMachine } from "./table.ts";
import { median, TransferBench } from "./transfer-bench.ts";
import { writeTables } from "./write-tables.ts";

const EXECS = 300;

using bench = new TransferBench();
const address = `unix:${bench.file("agent.sock")}`;

/** Round trips of whole commands over one connection, beside starting the same program here. */
async function execs(): Promise<BenchRow[]> {
  await using agent = await connectAgent(address);
  const times: Record<"remote" | "local", number[]> = { remote: [], local: [] };
  for (let index = 0; index < EXECS; index++) {
    let begin = performance.now();
    await agent.exec(["/bin/true", "-"]);
    times.remote.push(performance.now() - begin);
    begin = performance.now();
    await Bun.spawn(["/bin/true", "-"], { stdio: ["ignore", "pipe", "pipe"] }).exited;
    times.local.push(performance.now() - begin);
  }
  const perSecond = (all: number[]) => 1000 / median(all);
  const begin = performance.now();
  await Promise.all(Array.from({ length: EXECS }, () => agent.exec(["/bin/true", "-"])));
  const together = EXECS / ((performance.now() - begin) / 1000);
  const local = { name: "Bun.spawn of the same", value: perSecond(times.local), unit: "/s" };
  const row = (what: string, value: number) => compared(what, { value, unit: "/s" }, local, "more");
  return [
    row(
      `exec round trips a second, each after the other, median of ${EXECS}`,
      perSecond(times.remote),
    ),
    row(`the same, ${EXECS} at once over one connection`, together),
  ];
}

await using agentService = await bench.serve(["agent", "--listen", address, "-q"], address);
const target = bench.file("copied");
const copies = await bench.compare({
  "cp up": () => bench.copy(["cp", "-q", bench.source, `${address}:${target}`], target),
  "cp down": () => bench.copy(["cp", "-q", `${address}:${bench.source}`, target], target),
});
const rss = (what: string) => alone(what, Math.round(agentService.peakMib()), "MiB");
const afterCopies = rss("highest RSS of the agent over all copies");
const commands = await execs();
const rows = [...commands, ...copies, afterCopies, rss("the same after the commands")];
const title = "The agent: commands and copies";
writeTables([{ id: "agent", title, machine: thisMachine(), peers: [], rows }], bench.output);
