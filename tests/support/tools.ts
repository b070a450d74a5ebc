/** Tests that need a program of the system: skipped where it is missing, but never in CI. */
import { describe, test } from "bun:test";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const REQUIRED = process.env["VSOCKBOX_REQUIRE_VM"] === "1";

/** Programs that `.ci/run` has unpacked. */
const CACHE = join(
  process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"),
  "vsockbox-tests/bin",
);

/** The program's path: from PATH, of the system's programs, or of those that tests have fetched. */
export function findTool(name: string): string | undefined {
  const others = [join("/usr/sbin", name), join(CACHE, name)];
  return Bun.which(name) ?? others.find((path) => existsSync(path));
}

/** A group of tests that need these programs. */
export function describeWith(tools: readonly string[], name: string, body: () => void): void {
  const missing = tools.filter((tool) => findTool(tool) === undefined);
  if (missing.length === 0) return describe(name, body);
  const message = `${missing.join(", ")} is missing`;
  if (!REQUIRED) {
    console.warn(`SKIPPED: ${name}: ${message}`);
    return describe.skip(name, body);
  }
  return describe(name, () => {
    test("has its tools", () => {
      throw new Error(message);
    });
  });
}
