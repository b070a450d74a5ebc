/** Compiles vsockbox into one executable a target. `bun run build.ts --help` shows the options. */
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";

const ROOT = import.meta.dir;

/** The targets of `--all`, by the names of their files. */
export const TARGETS = ["linux-x64", "linux-arm64", "linux-x64-musl", "linux-arm64-musl"] as const;

const HELP = `Usage: bun run build.ts [OPTIONS]

Compiles dist/vsockbox for this machine; does nothing where that is up to date.

  --all           Also ${TARGETS.map((target) => `dist/vsockbox-${target}`).join(", ")}
  --outdir DIR    Write there instead of dist
  --force         Build even where it is up to date
  --json          Print what was built as JSON lines
  --quiet         Print nothing but errors
`;

interface Artefact {
  target: string;
  path: string;
  bytes: number;
  sha256: string;
  cached: boolean;
  milliseconds: number;
}

function git(...args: string[]): string | undefined {
  const result = Bun.spawnSync(["git", ...args], { cwd: ROOT, stderr: "ignore" });
  return result.exitCode === 0 ? result.stdout.toString().trim() : undefined;
}

/** What is compiled in; part of the key of what is up to date. */
function identity(target: string) {
  const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    version: string;
  };
  const dirty = git(
    "status",
    "--porcelain",
    "--",
    "src",
    "build.ts",
    "package.json",
    "package-lock.json",
  );
  const head = git("rev-parse", "HEAD");
  return {
    VSOCKBOX_VERSION: manifest.version,
    VSOCKBOX_COMMIT: head === undefined ? "unknown" : head + (dirty === "" ? "" : "-dirty"),
    VSOCKBOX_TARGET: target,
  };
}

function sha256(...parts: (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part).update("\0");
  return hash.digest("hex");
}

/** Everything that decides what the executable will be. */
function inputKey(target: string): string {
  const files = [
    ...new Bun.Glob("src/**/*").scanSync(ROOT),
    ...["build.ts", "package.json", "package-lock.json", "tsconfig.json"],
  ].sort();
  return sha256(
    Bun.revision,
    JSON.stringify(identity(target)),
    ...files.flatMap((file) => [file, readFileSync(join(ROOT, file))]),
  );
}

function hostTarget(): string {
  const musl = existsSync(`/lib/ld-musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`);
  const glibc =
    existsSync("/lib/ld-linux-aarch64.so.1") || existsSync("/lib64/ld-linux-x86-64.so.2");
  return `linux-${process.arch}${musl && !glibc ? "-musl" : ""}`;
}

async function compile(target: string, outfile: string, isHost: boolean): Promise<void> {
  const define = Object.fromEntries(
    Object.entries(identity(target)).map(([name, value]) => [name, JSON.stringify(value)]),
  );
  // Relative paths and a fixed working directory: no path of this machine gets into the file.
  const result = await Bun.build({
    entrypoints: ["./src/main.ts"],
    root: ".",
    minify: true,
    bytecode: true,
    format: "esm",
    // A command pays for its own imports only: that halves the start-up.
    splitting: true,
    define,
    compile: {
      outfile: relative(ROOT, outfile),
      // Without a target the running Bun is copied, so that the host's build needs no network.
      ...(isHost ? {} : { target: `bun-${target}` as Bun.Build.CompileTarget }),
      autoloadDotenv: false,
      autoloadBunfig: false,
    },
  });
  if (!result.success) throw new Error(`building for ${target} failed:\n${result.logs.join("\n")}`);
}

/** Some failures of the compiler leave a file that does not run: so run it. */
function tryOut(path: string, target: string): void {
  const { exitCode, stdout, stderr } = Bun.spawnSync([path, "--version", "--json"], {
    env: {},
    cwd: "/",
  });
  const answer =
    exitCode === 0 ? (JSON.parse(stdout.toString()) as { target?: string }) : undefined;
  if (answer?.target !== target) {
    throw new Error(
      `${path} was built but does not run (status ${exitCode}): ${stderr.toString()}`,
    );
  }
}

async function build(
  target: string,
  path: string,
  isHost: boolean,
  force: boolean,
): Promise<Artefact> {
  const begin = performance.now();
  const stamp = `${path}.stamp`;
  const key = inputKey(target);
  const stamped = (sum: string) => `${key} ${sum}\n`;
  const finish = (cached: boolean, sum: string): Artefact => ({
    target,
    path: relative(ROOT, path),
    bytes: statSync(path).size,
    sha256: sum,
    cached,
    milliseconds: Math.round(performance.now() - begin),
  });
  if (!force && existsSync(path) && existsSync(stamp)) {
    const sum = sha256File(path);
    if (readFileSync(stamp, "utf8") === stamped(sum)) return finish(true, sum);
  }
  const folder = mkdtempSync(join(path, "..", ".build-"));
  try {
    const temporary = join(folder, "vsockbox");
    await compile(target, temporary, isHost);
    if (isHost) tryOut(temporary, target);
    const sum = sha256File(temporary);
    renameSync(temporary, path);
    writeFileSync(stamp, stamped(sum));
    return finish(false, sum);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function sha256File(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      all: { type: "boolean", default: false },
      outdir: { type: "string", default: "dist" },
      force: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      quiet: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  process.chdir(ROOT);
  const outdir = join(
    ROOT,
    values.outdir.startsWith("/") ? relative(ROOT, values.outdir) : values.outdir,
  );
  mkdirSync(outdir, { recursive: true });
  const jobs = [{ target: hostTarget(), name: "vsockbox", isHost: true }];
  if (values.all) {
    jobs.push(...TARGETS.map((target) => ({ target, name: `vsockbox-${target}`, isHost: false })));
  }
  for (const { target, name, isHost } of jobs) {
    const artefact = await build(target, join(outdir, name), isHost, values.force);
    if (values.json) console.log(JSON.stringify(artefact));
    else if (!values.quiet) {
      const state = artefact.cached ? "up to date" : `built in ${artefact.milliseconds} ms`;
      console.log(`${artefact.path}: ${target}, ${artefact.bytes} bytes, ${state}`);
    }
  }
}

if (import.meta.main) {
  try {
    await main();
  } catch (thrown) {
    console.error(`build: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
    process.exit(1);
  }
}
