import { describe, expect, test } from "bun:test";
import {
  encodeDisposable,
  trimCommand,
  whyUnsendable,
} from "../../../../src/protocols/guest-exec/command.ts";
import { DisposableReader } from "../../../../src/protocols/guest-exec/disposable.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (command: Uint8Array) => Buffer.from(command).toString("latin1");

function read(...chunks: string[]): string {
  const reader = new DisposableReader();
  for (const chunk of chunks) reader.push(bytes(chunk));
  return text(reader.finish());
}

describe("encodeDisposable", () => {
  test.each([
    ["a", "a\0"],
    ["x".repeat(2047), `${"x".repeat(2047)}\0`],
    ["x".repeat(2048), "x".repeat(2048)],
  ])("%j is sent as %j", (command, sent) => {
    expect(text(encodeDisposable(bytes(command)))).toBe(sent);
  });
});

describe("DisposableReader", () => {
  test.each([
    [["echo hi"], "echo hi"],
    [["ec", "ho", " hi"], "echo hi"],
    [["echo hi\n"], "echo hi"],
    [["echo hi\0"], "echo hi"],
    [["echo hi\n\0\0\0"], "echo hi"],
    [["a\nb\n"], "a\nb"],
    [["\n"], ""],
    [["x".repeat(2048)], "x".repeat(2048)],
  ])("%j is %j", (chunks, command) => {
    expect(read(...chunks)).toBe(command);
  });

  test("never returns the beginning of a command that is too long", () => {
    expect(() => read("x".repeat(2049))).toThrow(
      "a command of at least 2049 bytes, above the limit of 2048",
    );
    expect(() => read("x".repeat(2048), "y")).toThrow("at least 2049 bytes");
  });

  test("nothing sent is an error", () => {
    expect(() => read()).toThrow("without sending a command");
    expect(new DisposableReader().isEmpty).toBe(true);
  });

  test("a NUL inside is an error", () => {
    expect(() => read("a\0b")).toThrow("after 1 of 3 bytes");
  });
});

test("trimCommand leaves other bytes alone", () => {
  expect([...trimCommand(Uint8Array.of(0xff, 0x20, 0x0a, 0))]).toEqual([0xff, 0x20]);
});

test.each([
  ["x".repeat(2048), true, undefined],
  ["x".repeat(2049), true, "it has 2049 bytes, and guests accept at most 2048"],
  ["a\0b", true, "it has a NUL byte"],
  ["", true, undefined],
  ["", false, "it is empty"],
])("what can be sent: case %#", (command, persistent, why) => {
  expect(whyUnsendable(bytes(command), persistent)).toBe(why);
});
