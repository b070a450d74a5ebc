/**
 * cp and exec against a raw pump (`listen` and `connect`) over Unix sockets in the same run, in turns.
 * Prints a table; `bun run bench/agent.ts [--mib N] [--rounds N] [--directory DIR]`.
 */
import { cpus } from "node:os";
import { connectAgent } from "vsockbox";
import { median, TransferBench } from "./transfer-bench.ts";

const EXECS = 300;

using bench = new TransferBench();
const address = `unix:${bench.file("agent.sock")}`;

/** Round trips of whole commands over one connection, beside starting the same program here. */
async function execs(): Promise<string[][]> {
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
  const local = `Bun.spawn of the same: ${perSecond(times.local).toFixed(0)}/s`;
  return [
    [
      `exec round trips a second, one behind the other, median of ${EXECS}`,
      `${perSecond(times.remote).toFixed(0)}/s`,
      local,
      (perSecond(times.remote) / perSecond(times.local)).toFixed(2),
    ],
    [
      `the same, ${EXECS} at once over one connection`,
      `${together.toFixed(0)}/s`,
      local,
      (together / perSecond(times.local)).toFixed(2),
    ],
  ];
}

await using agentService = await bench.serve(["agent", "--listen", address, "-q"], address);
const target = bench.file("copied");
const copies = await bench.compare({
  "cp up": () => bench.copy(["cp", "-q", bench.source, `${address}:${target}`], target),
  "cp down": () => bench.copy(["cp", "-q", `${address}:${bench.source}`, target], target),
});
const rss = (what: string) => [what, `${agentService.peakMib().toFixed(0)} MiB`, "", ""];
const afterCopies = rss("highest RSS of the agent over all copies");
const commands = await execs();
const table = [...commands, ...copies, afterCopies, rss("the same after the commands")];
console.log(
  `Bun ${Bun.version}, linux ${process.arch}, ${cpus().length} cores (${cpus()[0]?.model})\n`,
);
console.log("| what | vsockbox | beside it | ratio |\n| --- | --- | --- | --- |");
for (const cells of table) console.log(`| ${cells.join(" | ")} |`);
