/** Makes vsockbox's executables. `bun run build.ts --help` shows the options. */
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
import { join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { ElfImage } from "./src/self-contained/elf-image.ts";
import { findRuntime, type Runtime } from "./src/self-contained/libraries.ts";
import { packSelfContained } from "./src/self-contained/pack.ts";
import { readStub } from "./src/self-contained/stub-image.ts";

const ROOT = import.meta.dir;

/** What Bun compiles for, by our names: glibc has none in Bun's. */
const COMPILE_TARGETS = {
  "linux-x64-glibc": "bun-linux-x64",
  "linux-arm64-glibc": "bun-linux-arm64",
  "linux-x64-musl": "bun-linux-x64-musl",
  "linux-arm64-musl": "bun-linux-arm64-musl",
} as const;

/** A build that asks for the system's loader and libraries. */
type DynamicTarget = keyof typeof COMPILE_TARGETS;

/** The builds that need nothing of the system, by what they are made of. */
const SELF_CONTAINED: Readonly<Record<string, DynamicTarget>> = {
  "linux-x64": "linux-x64-glibc",
  "linux-arm64": "linux-arm64-glibc",
};

const HELP = `Usage: bun run build.ts [OPTIONS]

Makes dist/vsockbox for this machine; does nothing where that is up to date. Where this machine has
glibc it is self-contained: one file with its loader and libraries, for guests of any kind.

  --all                  Also, for x64 and arm64, dist/vsockbox-linux-ARCH (self-contained), and
                         dist/vsockbox-linux-ARCH-glibc and -musl, which take the system's libraries
  --dynamic              Make dist/vsockbox without loader and libraries
  --libraries-x64 DIR    Take the loader and glibc's libraries from there; without it from the
  --libraries-arm64 DIR  system, or from Debian's libc6-ARCH-cross
  --outdir DIR           Write there instead of dist
  --force                Build even where it is up to date
  --json                 Print what was built as JSON lines
  --quiet                Print nothing but errors
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
    "packaging",
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

/** Everything that decides what the executable will be, but for the libraries. */
function inputKey(target: string): string {
  const files = [
    ...new Bun.Glob("{src,packaging}/**/*").scanSync(ROOT),
    ...["build.ts", "package.json", "package-lock.json", "tsconfig.json"],
  ].sort();
  return sha256(
    Bun.revision,
    JSON.stringify(identity(target)),
    ...files.flatMap((file) => [file, readFileSync(join(ROOT, file))]),
  );
}

/** The dynamic build that runs on this machine. */
function hostTarget(): DynamicTarget {
  const arch = process.arch === "arm64" ? "arm64" : "x64";
  const musl = existsSync(`/lib/ld-musl-${arch === "arm64" ? "aarch64" : "x86_64"}.so.1`);
  const glibc =
    existsSync("/lib/ld-linux-aarch64.so.1") || existsSync("/lib64/ld-linux-x86-64.so.2");
  return `linux-${arch}-${musl && !glibc ? "musl" : "glibc"}`;
}

/** What is to be made. */
interface Job {
  /** What the executable says of itself. */
  target: string;
  compiled: DynamicTarget;
  selfContained: boolean;
  /** The file's name. */
  name: string;
  /** Made of the running Bun, so that the host's build needs no network. */
  isHost: boolean;
}

interface BuildOptions {
  outdir: string;
  force: boolean;
  /** Folders of libraries by architecture. */
  libraries: Readonly<Partial<Record<string, string>>>;
}

async function compile({ target, compiled, isHost }: Job, outfile: string): Promise<void> {
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
      ...(isHost ? {} : { target: COMPILE_TARGETS[compiled] }),
      autoloadDotenv: false,
      autoloadBunfig: false,
    },
  });
  if (!result.success) throw new Error(`building for ${target} failed:\n${result.logs.join("\n")}`);
}

/** Puts the loader and the libraries into the executable at `path`. */
function makeSelfContained(path: string, runtime: Runtime): void {
  const bytes = readFileSync(path);
  const { architecture } = new ElfImage(bytes, path);
  const { image: stub } = readStub(architecture);
  writeFileSync(path, packSelfContained({ program: { name: path, bytes }, ...runtime, stub }));
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

async function build(job: Job, { outdir, force, libraries }: BuildOptions): Promise<Artefact> {
  const begin = performance.now();
  const path = join(outdir, job.name);
  const stamp = `${path}.stamp`;
  const architecture = job.compiled.includes("arm64") ? "arm64" : "x64";
  const runtime = job.selfContained
    ? findRuntime(architecture, libraries[architecture])
    : undefined;
  const packed = runtime === undefined ? [] : [runtime.loader, ...runtime.libraries];
  const key = sha256(inputKey(job.target), ...packed.flatMap(({ name, bytes }) => [name, bytes]));
  const stamped = (sum: string) => `${key} ${sum}\n`;
  const finish = (cached: boolean, sum: string): Artefact => ({
    target: job.target,
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
  const folder = mkdtempSync(join(outdir, ".build-"));
  try {
    const temporary = join(folder, "vsockbox");
    await compile(job, temporary);
    if (runtime !== undefined) makeSelfContained(temporary, runtime);
    if (job.isHost) tryOut(temporary, job.target);
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

function jobs(all: boolean, dynamic: boolean): Job[] {
  const host = hostTarget();
  const selfContained = host.endsWith("-glibc") && !dynamic;
  const own: Job = {
    target: selfContained ? host.replace("-glibc", "") : host,
    compiled: host,
    selfContained,
    name: "vsockbox",
    isHost: true,
  };
  const other = (target: string, compiled: DynamicTarget): Job => ({
    target,
    compiled,
    selfContained: target !== compiled,
    name: `vsockbox-${target}`,
    isHost: false,
  });
  if (!all) return [own];
  return [
    own,
    ...(Object.keys(COMPILE_TARGETS) as DynamicTarget[]).map((target) => other(target, target)),
    ...Object.entries(SELF_CONTAINED).map(([target, compiled]) => other(target, compiled)),
  ];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      all: { type: "boolean", default: false },
      dynamic: { type: "boolean", default: false },
      "libraries-x64": { type: "string" },
      "libraries-arm64": { type: "string" },
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
  // What the user names is seen from where the user is.
  const outdir = values.outdir === "dist" ? join(ROOT, "dist") : resolve(values.outdir);
  const libraries = {
    x64: values["libraries-x64"] && resolve(values["libraries-x64"]),
    arm64: values["libraries-arm64"] && resolve(values["libraries-arm64"]),
  };
  process.chdir(ROOT);
  mkdirSync(outdir, { recursive: true });
  for (const job of jobs(values.all, values.dynamic)) {
    const artefact = await build(job, { outdir, force: values.force, libraries });
    if (values.json) console.log(JSON.stringify(artefact));
    else if (!values.quiet) {
      const state = artefact.cached ? "up to date" : `built in ${artefact.milliseconds} ms`;
      console.log(`${artefact.path}: ${artefact.target}, ${artefact.bytes} bytes, ${state}`);
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
