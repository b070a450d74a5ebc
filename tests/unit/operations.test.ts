import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { VsockboxError } from "../../src/errors.ts";
import {
  foreignOperation,
  type Operation,
  operationOfCall,
  operationPhrase,
  PHRASES,
  type Verb,
} from "../../src/operations.ts";
import { sourceFiles } from "../support/imports.ts";

const ROOT = join(import.meta.dir, "../../src");

/** The operations that the sources name in a literal, with `${…}` as it is written. */
async function operationsOfSources(): Promise<string[]> {
  const found = new Set<string>();
  for (const file of sourceFiles(ROOT)) {
    const code = await Bun.file(join(ROOT, file)).text();
    const literals = code.matchAll(/\boperation(?:: Operation)?(?::| =) *(?:"([^"]+)"|`([^`]+)`)/g);
    for (const [, plain, template] of literals) found.add(plain ?? template ?? "");
  }
  return [...found];
}

const operations = await operationsOfSources();

const textOf = (operation: string, address?: string) =>
  new VsockboxError({
    code: "IO",
    operation: foreignOperation(operation),
    address,
    message: "no such file or directory",
    errno: "ENOENT",
  }).message;

describe("the text of an error", () => {
  test("is read from more than a hundred operations", () => {
    expect(operations.length).toBeGreaterThan(100);
  });

  test.each(operations)("is `cannot …` for the operation %j", (operation) => {
    const [verb = ""] = operation.split(" ");
    expect(Object.keys(PHRASES)).toContain(verb);
    expect(textOf(operation, "/x")).toBe(
      `cannot ${operation === verb ? PHRASES[verb as Verb] : operation} /x: no such file or directory (ENOENT)`,
    );
    expect(textOf(operation)).toStartWith(`cannot ${operation}: `);
  });

  test.each(Object.entries(PHRASES))("has the verb %s itself in its phrase", (verb, phrase) => {
    expect(phrase.split(" ")[0]).toBe(verb);
  });
});

describe("an operation", () => {
  test("begins with a verb of the list, or is not compiled", () => {
    // @ts-expect-error A noun has no phrase.
    const noun: Operation = "hybrid-vsock handshake";
    // @ts-expect-error A verb that is not in the list has none either.
    const unknown: Operation = "frobnicate";
    expect([noun, unknown].map((word) => Object.hasOwn(PHRASES, word))).toEqual([false, false]);
  });

  test.each<[Operation, string | undefined, string]>([
    ["connect", "unix:/x", "connect to unix:/x"],
    ["connect", undefined, "connect"],
    ["listen on", "unix:/x", "listen on unix:/x"],
    ["open", "/x", "open /x"],
    ["start a session with", "vsock:3:5000", "start a session with vsock:3:5000"],
  ])("%j with the object %j is %j", (operation, object, phrase) => {
    expect(operationPhrase(operation, object)).toBe(phrase);
  });

  test("is found by the system call, which is named if it has no phrase", () => {
    expect(["scandir", "lstat", "mkdir", "fallocate"].map(operationOfCall)).toEqual([
      "list",
      "inspect",
      "create directory",
      "call fallocate",
    ]);
  });
});
