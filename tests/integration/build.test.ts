/** The build: reproducible, and free of the machine that made it. */
import { expect, test } from "bun:test";
import { cpSync, existsSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { TemporaryFolder } from "../support/binary.ts";

const ROOT = join(import.meta.dir, "../..");
/** What a build reads; .git gives the commit where there is one. */
const INPUTS = [
  "src",
  "packaging",
  "build.ts",
  "package.json",
  "package-lock.json",
  "tsconfig.json",
  ".git",
];

function buildIn(folder: string) {
  for (const name of INPUTS) {
    if (existsSync(join(ROOT, name)))
      cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  }
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  const { exitCode, stdout, stderr } = Bun.spawnSync(["bun", "run", "build.ts", "--json"], {
    cwd: folder,
    env: {
      ...process.env,
      PATH: `${join(ROOT, "node_modules/.bin")}:${process.env["PATH"] ?? ""}`,
    },
  });
  expect(stderr.toString()).toBe("");
  expect(exitCode).toBe(0);
  return JSON.parse(stdout.toString()) as { sha256: string; cached: boolean };
}

test("two builds of one commit in two directories are byte-identical", () => {
  using first = new TemporaryFolder();
  using second = new TemporaryFolder();
  const sums = [buildIn(first.path), buildIn(second.path)];
  expect(sums[0]).toMatchObject({ cached: false });
  expect(sums[1]?.sha256).toBe(sums[0]?.sha256 ?? "");
  const bytes = readFileSync(join(first.path, "dist/vsockbox"));
  expect(bytes.includes(first.path)).toBe(false);
  expect(bytes.includes(ROOT + "/src")).toBe(false);
});

test("a second build does nothing, a changed source is built again", async () => {
  using folder = new TemporaryFolder();
  expect(buildIn(folder.path).cached).toBe(false);
  const again = () =>
    JSON.parse(
      Bun.spawnSync([join(ROOT, "node_modules/.bin/bun"), "run", "build.ts", "--json"], {
        cwd: folder.path,
      }).stdout.toString(),
    ) as { cached: boolean };
  expect(again().cached).toBe(true);
  const main = join(folder.path, "src/ui/report.ts");
  await Bun.write(main, `${readFileSync(main, "utf8")}\n// changed\n`);
  expect(again().cached).toBe(false);
});
