/**
 * Real programs at work on mounts of an export, with each value of `--cache`; all that they write is
 * compared with what the host has:
 *
 *     bun run build.ts && bun run tests/vfs-workloads.ts [--vmm qemu] [--cache MODE]... [--only TEXT]...
 *
 * The mount is one of this machine, in a mount namespace of its own, which needs root; with `--vmm qemu` one
 * in a guest, whose programs are the host's through an export of /usr. Prints a table in Markdown, and the
 * reason of each failure.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { CACHE_MODES, type CacheMode } from "../src/vfs/mount/cache-policy.ts";
import { findTool } from "./support/tools.ts";
import { NAMESPACED } from "./support/vfs-suites.ts";
import { WORKLOADS } from "./workloads/all.ts";
import { compilePrograms, makePlace, type MountedSide } from "./workloads/mounted-side.ts";
import { NamespaceSide } from "./workloads/namespace-side.ts";
import { QemuSide } from "./workloads/qemu-side.ts";
import type { Workload } from "./workloads/workload.ts";

const { values } = parseArgs({
  options: {
    vmm: { type: "string" },
    cache: { type: "string", multiple: true, default: [...CACHE_MODES] },
    only: { type: "string", multiple: true, default: [""] },
  },
});
const modes = CACHE_MODES.filter((mode) => values.cache.includes(mode));
const workloads = WORKLOADS.filter(({ name }) => values.only.some((text) => name.includes(text)));
if ((values.vmm ?? "qemu") !== "qemu" || modes.length === 0 || workloads.length === 0) {
  console.error(
    "usage: bun run tests/vfs-workloads.ts [--vmm qemu] [--cache MODE]... [--only TEXT]...",
  );
  process.exit(64);
}
if (values.vmm === undefined && process.env[NAMESPACED] === undefined) {
  // Whatever is mounted or started ends with the first process of the namespaces.
  const unshare = ["unshare", "-m", "--propagation", "private", "-p", "--fork", "--kill-child"];
  const words = [...unshare, "--mount-proc", process.execPath, import.meta.path];
  const { exited } = Bun.spawn([...words, ...process.argv.slice(2)], {
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, [NAMESPACED]: "1" },
  });
  process.exit(await exited);
}
process.env["VSOCKBOX_NO_VSOCK"] = "1";
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

const root = mkdtempSync(join(tmpdir(), "vfs-workloads-"));
const reasons: string[] = [];
try {
  process.exitCode = await main();
} finally {
  rmSync(root, { recursive: true, force: true });
}

async function main(): Promise<number> {
  const [exported, target, home] = [
    join(root, "exported"),
    join(root, "target"),
    join(root, "home"),
  ];
  for (const directory of [exported, target, home]) mkdirSync(directory);
  compilePrograms(exported);
  await using side: MountedSide =
    values.vmm === undefined
      ? await NamespaceSide.start({ exported, target, home })
      : await QemuSide.start(exported);
  const results = new Map<string, string[]>(workloads.map(({ name }) => [name, []]));
  for (const cache of modes) {
    await side.mount(cache);
    for (const [index, workload] of workloads.entries()) {
      const directory = `${cache}/${index}`;
      const scratch = join(home, directory);
      const result = await tryRun(workload, cache, () =>
        makePlace({ side, exported, directory, scratch, cache }),
      );
      results.get(workload.name)?.push(result);
      rmSync(scratch, { recursive: true, force: true });
    }
    await side.unmount();
    rmSync(join(exported, cache), { recursive: true, force: true });
  }
  printTable(results);
  return reasons.some((reason) => reason.startsWith("failed")) ? 1 : 0;
}

/** Runs a workload; its result is a word of the table. */
async function tryRun(
  { name, programs, run }: Workload,
  cache: CacheMode,
  place: () => ReturnType<typeof makePlace>,
): Promise<string> {
  const missing = programs.filter((program) => findTool(program) === undefined);
  if (missing.length > 0) {
    reasons.push(`skipped: ${name}, --cache ${cache}: ${missing.join(", ")} is not installed`);
    return "skipped";
  }
  const begin = performance.now();
  let result = "passed";
  try {
    await run(await place());
  } catch (thrown) {
    result = "failed";
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    reasons.push(`failed: ${name}, --cache ${cache}: ${reason}`);
    console.error(reasons.at(-1));
  }
  const seconds = Math.round((performance.now() - begin) / 1000);
  console.error(`--cache ${cache}: ${name}: ${result} after ${seconds} s`);
  return result;
}

function printTable(results: ReadonlyMap<string, readonly string[]>): void {
  const row = (cells: readonly string[]) => console.log(`| ${cells.join(" | ")} |`);
  row(["workload", ...modes.map((mode) => `\`--cache ${mode}\``)]);
  row(["---", ...modes.map(() => "---")]);
  for (const [name, cells] of results) row([name, ...cells]);
  if (reasons.length > 0) console.log(`\n${reasons.map((reason) => `- ${reason}`).join("\n")}`);
}
