/**
 * Published POSIX suites on a mount of an export, with each value of `--cache`, and on the directory itself:
 *
 *     cargo install --root DIR pjdfstest@0.2.2 fsx@0.3.2
 *     bun run build.ts && bun run tests/vfs-suites.ts DIR/bin
 *
 * Needs root: it runs in a mount namespace of its own and in a new directory. Prints a table in Markdown, and
 * the cases that fail on the mount alone.
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { CACHE_MODES } from "../src/vfs/mount/cache-policy.ts";
import { BINARY } from "./support/binary.ts";
import { NAMESPACED, summaryOf, type SuiteSummary } from "./support/vfs-suites.ts";

/** Operations of fsx, and its seeds. */
const FSX_OPERATIONS = 5000;
const FSX_SEEDS = [7, 8, 9];

/** What the file system of the export is asked for beyond POSIX. */
const CONFIGURATION = `[features]
posix_fallocate = {}
utimensat = {}
utime_now = {}
[settings]
naptime = 0.01
allow_remount = false
[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
`;

const programs = resolve(process.argv[2] ?? ".");
const missing = ["pjdfstest", "fsx"].filter((name) => !existsSync(join(programs, name)));
if (missing.length > 0) {
  console.error(`${missing.join(" and ")} not found in ${programs}`);
  process.exit(1);
}
if (process.env[NAMESPACED] === undefined) {
  const words = ["unshare", "-m", "--propagation", "private", process.execPath, import.meta.path];
  const { exited } = Bun.spawn([...words, programs], {
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, [NAMESPACED]: "1", VSOCKBOX_NO_VSOCK: "1" },
  });
  process.exit(await exited);
}

const root = mkdtempSync(join(tmpdir(), "vfs-suites-"));
const [source, target] = [join(root, "source"), join(root, "target")];
const configuration = join(root, "pjdfstest.toml");
writeFileSync(configuration, CONFIGURATION);
for (const directory of [source, target]) mkdirSync(directory);
// Other users must reach the files.
for (const directory of [root, source, target]) chmodSync(directory, 0o755);
const address = `unix:${join(root, "export.sock")}`;
const host = Bun.spawn([BINARY, "export", source, "--listen", address], {
  stdio: ["ignore", "ignore", "ignore"],
});
try {
  const local = await runSuites(source);
  console.log("| directory | pjdfstest: passed | failed | skipped | fsx |");
  console.log("| --- | --: | --: | --: | --- |");
  console.log(row("exported", local));
  const failures: string[] = [];
  for (const cache of CACHE_MODES) {
    const result = await onMount(cache);
    console.log(row(`mounted, --cache ${cache}`, result));
    const others = result.pjdfstest.failed.filter((name) => !local.pjdfstest.failed.includes(name));
    failures.push(...others.map((name) => `--cache ${cache}: ${name}`));
  }
  console.log(`\nfailed on the exported directory:\n${local.pjdfstest.failed.join("\n")}`);
  console.log(`\nfailed on the mount alone:\n${failures.join("\n")}`);
} finally {
  host.kill();
  await host.exited;
  rmSync(root, { recursive: true, force: true });
}

interface SuiteResults {
  pjdfstest: SuiteSummary;
  /** Seeds with which fsx has failed. */
  fsx: number[];
}

async function onMount(cache: string): Promise<SuiteResults> {
  const words = ["mount", address, target, "--cache", cache, "--wait", "30"];
  const mount = Bun.spawn([BINARY, ...words], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const reader = mount.stdout.getReader();
    if ((await reader.read()).done) throw new Error("it was not mounted");
    return await runSuites(target);
  } finally {
    mount.kill();
    await mount.exited;
  }
}

async function runSuites(directory: string): Promise<SuiteResults> {
  const place = join(directory, "suite");
  mkdirSync(place);
  chmodSync(place, 0o755);
  const pjdfstest = await run(["pjdfstest", "-c", configuration, "-p", place]);
  const fsx: number[] = [];
  for (const seed of FSX_SEEDS) {
    const words = ["fsx", "-q", "-N", String(FSX_OPERATIONS), "-S", String(seed), "-P", root];
    const { status } = await run([...words, join(directory, `fsx-${seed}`)]);
    if (status !== 0) fsx.push(seed);
  }
  rmSync(place, { recursive: true, force: true });
  return { pjdfstest: summaryOf(pjdfstest.output), fsx };
}

async function run([program = "", ...args]: string[]): Promise<{ status: number; output: string }> {
  const child = Bun.spawn([join(programs, program), ...args], {
    stdio: ["ignore", "pipe", "ignore"],
    cwd: root,
  });
  const output = await new Response(child.stdout).text();
  return { status: await child.exited, output };
}

function row(name: string, { pjdfstest, fsx }: SuiteResults): string {
  const { passed, failed, skipped } = pjdfstest;
  const counts = [passed, failed.length, skipped].join(" | ");
  const seeds = `${FSX_SEEDS.length} times ${FSX_OPERATIONS} operations`;
  return `| ${name} | ${counts} | ${fsx.length === 0 ? seeds : `failed with seeds ${fsx.join()}`} |`;
}
