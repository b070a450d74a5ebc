/**
 * Runs every measurement that this machine allows, and lists those that were skipped, with the reason;
 * `npm run bench -- --help` shows the options.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { findVirtiofsd } from "./vfs/shares.ts";
import { outputOption } from "./write-tables.ts";

const HELP = `Usage: npm run bench -- [OPTIONS]

Builds vsockbox, runs every measurement, and prints tables in Markdown.

  --only NAME       One of them: ${"foundation, agent, shell, connection, peers, hybrid, vfs, self-contained"}
  --output DIR      Write each table as JSON into this directory as well
  --quick           Small amounts and one round: whether everything works, not how fast it is
  --help            Print this
`;

/** A script with what it needs. */
interface Bench {
  name: string;
  /** Arguments of --quick. */
  quick: readonly string[];
  /** Returns why it cannot run here. */
  missing?: () => string | undefined;
  /** Returns what it does without, which shortens its table. */
  lacks?: () => string | undefined;
}

const lacking =
  (...programs: string[]) =>
  () => {
    const absent = programs.filter((name) => Bun.which(name) === null);
    return absent.length === 0 ? undefined : `${absent.join(", ")} not installed`;
  };

const MIB = ["--mib", "16", "--rounds", "1"];

const BENCHES: readonly Bench[] = [
  { name: "foundation", quick: ["--quick"], lacks: lacking("socat") },
  { name: "agent", quick: MIB },
  { name: "shell", quick: MIB },
  { name: "connection", quick: ["--duration", "200ms", "--rounds", "1"] },
  { name: "peers", quick: MIB, lacks: peerServers },
  { name: "hybrid", quick: ["--quick", "--rounds", "1", "--vmm", "none"], missing: lacking("gcc") },
  {
    name: "vfs",
    quick: ["--quick", "--rounds", "1"],
    missing: lacking("gcc", "qemu-system-x86_64"),
    lacks: () => (findVirtiofsd() === undefined ? "virtiofsd not installed" : lacking("git")()),
  },
  {
    name: "self-contained",
    quick: ["--starts", "3", "--boots", "1", "--vmm", "none"],
    missing: lacking("gcc"),
    lacks: lacking("qemu-system-x86_64"),
  },
];

function peerServers(): string | undefined {
  if (Bun.which("ssh") === null || !existsSync("/usr/sbin/sshd")) return "OpenSSH not installed";
  return lacking("tar")();
}

async function run(command: readonly string[]): Promise<boolean> {
  const child = Bun.spawn([...command], {
    cwd: join(import.meta.dir, ".."),
    stdio: ["ignore", "inherit", "inherit"],
  });
  return (await child.exited) === 0;
}

const { values } = parseArgs({
  options: {
    ...outputOption,
    only: { type: "string" },
    quick: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  },
});

async function main(): Promise<number> {
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const chosen = BENCHES.filter(({ name }) => values.only === undefined || values.only === name);
  if (chosen.length === 0) {
    console.error(HELP);
    return 64;
  }
  if (!(await run([process.execPath, "run", "build.ts", "--quiet"]))) return 1;
  const notes: string[] = [];
  let hasFailed = false;
  for (const { name, quick, missing, lacks } of chosen) {
    const reason = missing?.();
    if (reason !== undefined) {
      notes.push(`${name} was skipped: ${reason}`);
      continue;
    }
    const shortened = lacks?.();
    if (shortened !== undefined) notes.push(`${name} has no rows for: ${shortened}`);
    const output = values.output === undefined ? [] : ["--output", values.output];
    const words = [...(values.quick ? quick : []), ...output];
    console.log(`\n# ${name}`);
    if (await run([process.execPath, "run", `bench/${name}.ts`, ...words])) continue;
    notes.push(`${name} has failed`);
    hasFailed = true;
  }
  console.log(notes.length === 0 ? "\nNothing was skipped." : `\n${notes.join("\n")}`);
  return hasFailed ? 1 : 0;
}

process.exitCode = await main();
