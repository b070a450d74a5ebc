/** The tables of docs/json.md, and objects held against them. */
import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const DOCUMENT = readFileSync(join(import.meta.dir, "../../docs/json.md"), "utf8");

/** Returns the rows of a section's table: dotted key and type. */
export function shapeOf(section: string): Map<string, string> {
  const [, text = ""] =
    new RegExp(`^## ${section}\\n([\\s\\S]*?)(?=^## |(?![\\s\\S]))`, "m").exec(DOCUMENT) ?? [];
  const rows = text.matchAll(/^\| `([^`]+)` *\| ([a-z, ]+?) *\|/gm);
  return new Map([...rows].map(([, key = "", type = ""]) => [key, type]));
}

/** Types of a value, as the document names them. */
function typeOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}

/** Checks an object against a table; keys of nested objects are there with a dot. */
export function expectShape(object: unknown, shape: ReadonlyMap<string, string>): void {
  const nested = new Set([...shape.keys()].flatMap((key) => key.split(".").slice(0, -1)));
  const seen: string[] = [];
  const visit = (value: object, prefix: string) => {
    for (const [name, member] of Object.entries(value)) {
      const key = `${prefix}${name}`;
      if (nested.has(key) && typeof member === "object" && member !== null) {
        visit(member as object, `${key}.`);
        continue;
      }
      seen.push(key);
      const types = (shape.get(key) ?? "a key that is not documented").split(/, | or /);
      expect([key, types, types.includes(typeOf(member))]).toEqual([key, types, true]);
    }
  };
  expect(typeOf(object)).toBe("object");
  visit(object as object, "");
  expect(seen.toSorted()).toEqual([...shape.keys()].toSorted());
}
