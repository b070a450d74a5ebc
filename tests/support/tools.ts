/** Tests that need a program of the system: skipped where it is missing, but never in CI. */
import { describe, test } from "bun:test";
import { existsSync } from "node:fs";

const REQUIRED = process.env["VSOCKBOX_REQUIRE_VM"] === "1";

/** The program's path, from PATH or the directory of system programs. */
export function findTool(name: string): string | undefined {
  const system = `/usr/sbin/${name}`;
  return Bun.which(name) ?? (existsSync(system) ? system : undefined);
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
