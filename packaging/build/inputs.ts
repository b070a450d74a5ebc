/** Everything that decides what an executable will be. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** The root directory of the sources. */
export const ROOT = join(import.meta.dir, "../..");

/** Directories and files that a build reads. */
const DIRECTORIES = ["src", "packaging"];
const FILES = ["build.ts", "package.json", "package-lock.json"];

/** Files that accompany executables are not their inputs. */
const BESIDE = ["packaging/release", "packaging/licences"];

function git(...args: string[]): string | undefined {
  const result = Bun.spawnSync(["git", ...args], { cwd: ROOT, stderr: "ignore" });
  return result.exitCode === 0 ? result.stdout.toString().trim() : undefined;
}

/** The version of package.json. */
export function version(): string {
  const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    version: string;
  };
  return manifest.version;
}

/** The commit, with `-dirty` if the sources differ from it; `unknown` without git. */
export function commit(): string {
  const dirty = git(
    ...["status", "--porcelain", "--", ...DIRECTORIES, ...FILES],
    ...BESIDE.map((directory) => `:(exclude)${directory}`),
  );
  const head = git("rev-parse", "HEAD");
  return head === undefined ? "unknown" : head + (dirty === "" ? "" : "-dirty");
}

/** The values that are compiled in. */
export function identity(target: string) {
  return {
    VSOCKBOX_VERSION: version(),
    VSOCKBOX_COMMIT: commit(),
    VSOCKBOX_TARGET: target,
  };
}

/** SHA-256 of parts, each ended by a zero byte, in hexadecimal. */
export function hashOf(...parts: (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part).update("\0");
  return hash.digest("hex");
}

/** SHA-256 of bytes, in hexadecimal. */
export function sha256(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** SHA-256 of a file's bytes, in hexadecimal. */
export function sha256File(path: string): string {
  return sha256(readFileSync(path));
}

/** Everything that decides what the executable will be, but for the libraries. */
export function inputKey(target: string): string {
  const found = Array.from(new Bun.Glob(`{${DIRECTORIES.join(",")}}/**/*`).scanSync(ROOT)).filter(
    (path) => !BESIDE.some((directory) => path.startsWith(`${directory}/`)),
  );
  const files = [...found, ...FILES, "tsconfig.json"].sort();
  return hashOf(
    Bun.revision,
    JSON.stringify(identity(target)),
    ...files.flatMap((file) => [file, readFileSync(join(ROOT, file))]),
  );
}
