import { describe, expect, test } from "bun:test";
import { VsockboxError } from "../../src/errors.ts";
import {
  asStartError,
  START_FAILURE_KINDS,
  START_STAGES,
  StartError,
  startFailureOf,
  startFailureOfStatus,
} from "../../src/start-error.ts";

describe("the status of a failed start", () => {
  test("is the shells' for the program, and 125 for every other step", () => {
    for (const kind of START_FAILURE_KINDS) {
      for (const stage of START_STAGES) {
        const { exitStatus } = new StartError({ kind, stage, operation: "run" });
        const ofProgram = kind === "not_found" ? 127 : 126;
        expect(exitStatus).toBe(stage === "program" ? ofProgram : 125);
      }
    }
  });
});

test("an errno of execve is the program's, one of fork is not", () => {
  const program = { stage: "program" } as const;
  expect(startFailureOf("ENOENT")).toEqual({ ...program, kind: "not_found" });
  expect(startFailureOf("ENOTDIR")).toEqual({ ...program, kind: "not_found" });
  expect(startFailureOf("EACCES")).toEqual({ ...program, kind: "permission_denied" });
  expect(startFailureOf("EPERM")).toEqual({ ...program, kind: "permission_denied" });
  expect(startFailureOf("E2BIG")).toEqual({ ...program, kind: "resources" });
  expect(startFailureOf("ENOEXEC")).toEqual({ ...program, kind: "not_executable" });
  expect(startFailureOf(undefined)).toEqual({ ...program, kind: "not_executable" });
  for (const errno of ["EAGAIN", "ENOMEM", "EMFILE", "ENFILE"]) {
    expect(startFailureOf(errno)).toEqual({ stage: "process", kind: "resources" });
  }
});

test("an error of a step keeps its words, with its hint in the same line", () => {
  const at = { kind: "sandbox_failed", stage: "sandbox" } as const;
  const error = asStartError(
    new VsockboxError({
      code: "REFUSED",
      operation: "make",
      address: "it",
      message: "not permitted",
      errno: "EPERM",
      hint: "it needs a right",
    }),
    at,
  );
  expect(error.message).toBe("cannot make it: not permitted; it needs a right (EPERM)");
  expect(error.toJSON()).toMatchObject({ code: "NOT_STARTED", ...at, errno: "EPERM" });
  expect(error.hint).toBeUndefined();
  expect(asStartError(error, { kind: "pty_failed", stage: "terminal" })).toBe(error);
});

test("a failure without a type is never the command's own status", () => {
  const of = (code: number) => startFailureOfStatus(code, "words");
  expect([of(127).exitStatus, of(127).kind, of(127).message]).toEqual([127, "not_found", "words"]);
  expect(of(126).exitStatus).toBe(126);
  expect([of(1).exitStatus, of(1).kind]).toEqual([125, "resources"]);
});
