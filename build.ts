/** Makes vsockbox's executables. `bun run build.ts --help` shows the options. */
import { mkdirSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { buildExecutable, type Executable } from "./packaging/build/executable.ts";
import { ROOT } from "./packaging/build/inputs.ts";
import type { Made } from "./packaging/build/stamped.ts";
import { DEFAULT_LEVEL } from "./packaging/release/level.ts";
import { ownJob, RELEASE_TARGETS, releaseJobs } from "./packaging/build/targets.ts";

const HELP = `Usage: bun run build.ts [OPTIONS]

Makes dist/vsockbox for this machine; does nothing where that is up to date. Where this machine has
glibc it is self-contained: one file with its loader and libraries, for guests of any kind.

  --all                  Also a release for x64 and arm64: dist/vsockbox-linux-ARCH (self-contained),
                         vsockbox-linux-ARCH-glibc and -musl, which take the system's libraries; each
                         also as .zst; licences, a bill of materials (CycloneDX), and SHA256SUMS
  --only TARGET[,...]    A release of these alone, without dist/vsockbox: ${RELEASE_TARGETS.slice(0, 3).join(", ")},
                         ${RELEASE_TARGETS.slice(3).join(", ")}
  --zstd LEVEL           Compress at this level, 1 to 19 (${DEFAULT_LEVEL}), or 0 to make no .zst
  --dynamic              Make dist/vsockbox without loader and libraries
  --libraries-x64 DIR    Take the loader and glibc's libraries from there; without it from the
  --libraries-arm64 DIR  system, or from Debian's libc6-ARCH-cross
  --outdir DIR           Write there instead of dist
  --force                Build even where it is up to date
  --json                 Print what was built as JSON lines
  --quiet                Print nothing but errors
`;

function options() {
  const { values } = parseArgs({
    options: {
      all: { type: "boolean", default: false },
      only: { type: "string" },
      zstd: { type: "string", default: String(DEFAULT_LEVEL) },
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
  if (values.all && values.only !== undefined)
    throw new Error("--all and --only exclude each other");
  if (!/^1?\d$/.test(values.zstd)) throw new Error(`"${values.zstd}" is not a level from 0 to 19`);
  return values;
}

type Options = ReturnType<typeof options>;

function jobsOf({ all, only, dynamic }: Options) {
  return {
    own: only === undefined ? ownJob(dynamic) : undefined,
    release: all ? releaseJobs(RELEASE_TARGETS) : releaseJobs(only?.split(",") ?? []),
  };
}

function reporter({ json, quiet }: Options) {
  return (made: Made & Partial<Executable>) => {
    const { path, bytes, sha256, cached, milliseconds, job } = made;
    const shown = relative(ROOT, path);
    const target = job && { target: job.target };
    if (json) {
      console.log(JSON.stringify({ ...target, path: shown, bytes, sha256, cached, milliseconds }));
    } else if (!quiet) {
      const state = cached ? "up to date" : `built in ${milliseconds} ms`;
      console.log(`${shown}: ${job ? `${job.target}, ` : ""}${bytes} bytes, ${state}`);
    }
  };
}

async function main(): Promise<void> {
  const values = options();
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const { own, release } = jobsOf(values);
  const { force } = values;
  // What the user names is seen from where the user is.
  const outdir = values.outdir === "dist" ? join(ROOT, "dist") : resolve(values.outdir);
  const libraries = {
    x64: values["libraries-x64"] && resolve(values["libraries-x64"]),
    arm64: values["libraries-arm64"] && resolve(values["libraries-arm64"]),
  };
  process.chdir(ROOT);
  mkdirSync(outdir, { recursive: true });
  const report = reporter(values);
  if (own !== undefined) report(await buildExecutable(own, { outdir, force, libraries }));
  const executables: Executable[] = [];
  for (const job of release) {
    const executable = await buildExecutable(job, { outdir, force, libraries });
    report(executable);
    executables.push(executable);
  }
  if (executables.length === 0) return;
  const { makeRelease } = await import("./packaging/release/release.ts");
  const level = Number(values.zstd);
  for (const made of await makeRelease(executables, { outdir, force, level })) report(made);
}

if (import.meta.main) {
  try {
    await main();
  } catch (thrown) {
    console.error(`build: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
    process.exit(1);
  }
}
