/** Copies of the source tree, to build in. */
import { cpSync, existsSync, symlinkSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");
/** What a build reads; .git gives the commit where there is one. */
const INPUTS = [
  ...["src", "packaging", "build.ts", "package.json", "package-lock.json", "tsconfig.json"],
  ...["LICENSE", ".git"],
];

/** Puts the sources into `folder`, with this tree's node_modules. */
export function copySources(folder: string): void {
  for (const name of INPUTS) {
    if (existsSync(join(ROOT, name)))
      cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  }
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
}

/** Runs build.ts of the tree in `folder`. */
export function runBuild(folder: string, ...options: string[]) {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["bun", "run", "build.ts", ...options], {
    cwd: folder,
    env: {
      ...process.env,
      PATH: `${join(ROOT, "node_modules/.bin")}:${process.env["PATH"] ?? ""}`,
    },
  });
  return { status: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}
