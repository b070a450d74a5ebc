/** Copies of the source tree, to build in. */
import { cpSync, existsSync, symlinkSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");
/** What a build reads; .git gives the commit where there is one. */
const INPUTS = [
  ...["src", "packaging", "build.ts", "package.json", "package-lock.json", "tsconfig.json"],
  ...["LICENSE", ".git"],
];

/** Puts the sources into `directory`, with this tree's node_modules. */
export function copySources(scratch: string): void {
  for (const name of INPUTS) {
    if (existsSync(join(ROOT, name)))
      cpSync(join(ROOT, name), join(scratch, name), { recursive: true });
  }
  symlinkSync(join(ROOT, "node_modules"), join(scratch, "node_modules"));
}

/** Runs build.ts of the tree in `directory`. */
export function runBuild(scratch: string, ...options: string[]) {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["bun", "run", "build.ts", ...options], {
    cwd: scratch,
    env: {
      ...process.env,
      PATH: `${join(ROOT, "node_modules/.bin")}:${process.env["PATH"] ?? ""}`,
    },
  });
  return { status: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}
