import { describe, expect, test } from "bun:test";
import { FileFailures, MAX_LISTED_FAILURES } from "../../../../src/agent/transfer/file-failures.ts";
import { VsockboxError } from "../../../../src/errors.ts";

const error = (address: string) =>
  new VsockboxError({
    code: "CANNOT_CREATE",
    operation: "write",
    address,
    message: "it exists",
    errno: "EEXIST",
    hint: "--force replaces it",
  });

describe("a failure of a file", () => {
  test("keeps code, errno and hint beside its text", () => {
    const failures = new FileFailures();
    failures.note(error("/a"));
    expect(failures.errors).toEqual([
      {
        code: "CANNOT_CREATE",
        errno: "EEXIST",
        message: "cannot write /a: it exists (EEXIST)",
        hint: "--force replaces it",
      },
    ]);
    expect(failures.errorCount).toBe(1);
  });

  test("that the peer reports is an IO error with its text", () => {
    const failures = new FileFailures();
    failures.noteReported("read /a: no");
    expect(failures.errors).toEqual([
      { code: "IO", errno: undefined, message: "read /a: no", hint: undefined },
    ]);
    expect(failures.errorCount).toBe(1);
  });

  test("has a text of at most 1000 characters, without control characters", () => {
    const failures = new FileFailures();
    failures.noteReported(`\u001b[2J${"x".repeat(2000)}`);
    failures.note(error(`/${"y".repeat(4000)}`));
    for (const { message } of failures.errors) {
      expect(message.length).toBeGreaterThan(950);
      expect(message.length).toBeLessThan(1010);
      expect(message).not.toContain("\u001b");
    }
  });
});

describe("the list of failures", () => {
  test("has 100 of them, and the count all", () => {
    const failures = new FileFailures();
    for (let index = 0; index < 150; index++) failures.note(error(`/${index}`));
    expect(MAX_LISTED_FAILURES).toBe(100);
    expect(failures.errors).toHaveLength(100);
    expect(failures.errors.at(-1)?.message).toContain("/99:");
    expect(failures.errorCount).toBe(150);
  });

  test("is the texts and the count on the wire", () => {
    const failures = new FileFailures();
    failures.note(error("/a"));
    failures.errorCount = 7;
    expect(failures.toWire()).toEqual({
      errorCount: 7,
      errors: ["cannot write /a: it exists (EEXIST)"],
    });
  });

  test("adds that of another collection, up to its limit", () => {
    const all = new FileFailures();
    for (let index = 0; index < 99; index++) all.note(error("/a"));
    const other = new FileFailures();
    other.note(error("/b"));
    other.note(error("/c"));
    other.errorCount = 5;
    all.addFailures(other);
    expect(all.errors).toHaveLength(100);
    expect(all.errors.at(-1)).toEqual(other.errors[0]);
    expect(all.errorCount).toBe(104);
  });
});

describe("a result of the peer", () => {
  const after = (result: Record<string, unknown>, isNew?: (text: string) => boolean) => {
    const failures = new FileFailures();
    failures.addReported(result, isNew);
    return failures.toWire();
  };

  test("is added with its texts and its count", () => {
    expect(after({ errorCount: 3, errors: ["a", "b"] })).toEqual({
      errorCount: 3,
      errors: ["a", "b"],
    });
  });

  test("is not counted twice for texts that this side has noted", () => {
    expect(after({ errorCount: 3, errors: ["a", "b"] }, (text) => text !== "a")).toEqual({
      errorCount: 2,
      errors: ["b"],
    });
    expect(after({ errorCount: 1, errors: ["a", "b"] }, () => false)).toEqual({
      errorCount: 0,
      errors: [],
    });
  });

  test.each([
    {},
    { errorCount: 1 },
    { errors: ["a"] },
    { errorCount: "1", errors: ["a"] },
    { errorCount: 1, errors: "a" },
  ])("is ignored if it has no list or no count: %j", (result) => {
    expect(after(result)).toEqual({ errorCount: 0, errors: [] });
  });

  test.each([
    [{ errorCount: -1, errors: ["a"] }, 0],
    [{ errorCount: 1.5, errors: ["a"] }, 0],
    [{ errorCount: 2 ** 60, errors: ["a"] }, 0],
    [{ errorCount: 0, errors: ["a"] }, 0],
    [{ errorCount: 1, errors: ["a", 7, null] }, 1],
  ])("counts only a whole number, and lists only texts: %j", (result, errorCount) => {
    expect(after(result)).toEqual({ errorCount, errors: ["a"] });
  });
});
