import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  addExecPart,
  decodeExecOperation,
  decodeExecPart,
  encodeExecOperation,
  encodeExecPart,
  type ExecOperation,
  showProgram,
  splitExecOperation,
} from "../../../../src/protocols/agent/exec-request.ts";
import type { Program } from "../../../../src/protocols/agent/program.ts";
import { goCommandLine, namesLostInShell } from "../../../../src/protocols/agent/go-command.ts";

const overTheWire = (value: unknown) =>
  JSON.parse(JSON.stringify(value)) as Record<string, unknown>;
const bytes = (text: string) => Uint8Array.from(Buffer.from(text, "latin1"));

const word = fc.uint8Array({ maxLength: 60 }).filter((all) => !all.includes(0));
const setting = fc
  .tuple(
    word.filter((all) => all.length > 0 && !all.includes(0x3d)),
    word,
  )
  .map(([name, value]) => Uint8Array.from([...name, 0x3d, ...value]));
const program: fc.Arbitrary<Program> = fc.oneof(
  fc.record({ kind: fc.constant("vector" as const), argv: fc.array(word, { minLength: 1 }) }),
  word.filter((line) => line.length > 0).map((line) => ({ kind: "shell-line" as const, line })),
  fc.constant({ kind: "login-shell" as const }),
);
const operation: fc.Arbitrary<ExecOperation> = fc.record({
  op: fc.constant("exec" as const),
  program,
  env: fc.array(setting),
  workingDir: fc.option(
    word.filter((all) => all.length > 0),
    { nil: undefined },
  ),
  user: fc.constantFrom(undefined, "0:0"),
  sandbox: fc.constantFrom(undefined, ["all"]),
  tty: fc.constant(undefined),
  input: fc.boolean(),
  detach: fc.boolean(),
  name: fc.constantFrom(undefined, "name"),
  more: fc.constant(false),
});

const request = (more: Partial<ExecOperation>): ExecOperation => ({
  op: "exec",
  program: { kind: "vector", argv: [bytes("a")] },
  env: [],
  workingDir: undefined,
  user: undefined,
  sandbox: undefined,
  tty: undefined,
  input: false,
  detach: false,
  name: undefined,
  more: false,
  ...more,
});

describe("a request to run a command", () => {
  test("goes there and back, whatever its bytes", () => {
    fc.assert(
      fc.property(operation, (value) => {
        const encoded = overTheWire(encodeExecOperation(value, ["argv"]));
        const decoded = decodeExecOperation(encoded);
        expect(decoded).toEqual(value);
      }),
    );
  });

  test("of any length goes there in frames of bounded size, and is put together again", () => {
    const long = (count: number, name: string) =>
      Array.from({ length: count }, (_, index) => bytes(`${name}${index}=${"v".repeat(9000)}`));
    for (const [argv, env] of [
      [long(1, "a"), []],
      [long(100, "a"), long(70, "e")],
      [[bytes("x".repeat(200_000)), bytes("y")], long(1, "e")],
      [[bytes("a")], long(40, "e")],
    ] as const) {
      const whole = request({ program: { kind: "vector", argv }, env });
      const { first, parts } = splitExecOperation(whole);
      const records = parts.map((part) => overTheWire(encodeExecPart(part)));
      for (const record of records) expect(JSON.stringify(record).length).toBeLessThan(300_000);
      expect(first.more).toBe(parts.length > 0);
      const opened = decodeExecOperation(overTheWire(encodeExecOperation(first, ["argv"])));
      const decoded = records.map(decodeExecPart);
      expect(decoded.map(({ more }) => more)).toEqual(
        decoded.map((_, index) => index < decoded.length - 1),
      );
      const joined = decoded.reduce(addExecPart, opened);
      expect(joined).toEqual(whole);
    }
    expect(splitExecOperation(request({})).parts).toEqual([]);
  });

  test("is refused if it has nothing or two things to run, or arguments that execve refuses", () => {
    for (const [value, message] of [
      [{}, "the command is missing"],
      [{ argv: ["a"], shell_line: "b" }, "more than one"],
      [{ shell_line: "b", login_shell: true }, "more than one"],
      [{ argv: "a" }, "argv is not a list"],
      [{ argv: [1] }, "neither a string nor base64"],
      [{ argv: [{ base64: "%" }] }, "neither a string nor base64"],
      [{ argv: ["a\0b"] }, "NUL"],
      [{ argv: ["a"], environment: ["A"] }, "not NAME=VALUE"],
      [{ argv: ["a"], environment: ["=x"] }, "not NAME=VALUE"],
      [{ argv: ["a"], more: 1 }, "more"],
    ] as const) {
      expect(() => decodeExecOperation(value)).toThrow(message);
    }
    const line = request({ program: { kind: "shell-line", line: bytes("x") } });
    const part = { argv: [bytes("a")], env: [], more: false };
    expect(() => addExecPart(line, part)).toThrow("argv is missing");
  });

  test("of an agent without the feature has a program with words, or a quoted line", () => {
    const encode = (argv: string[]) => {
      const value = request({ program: { kind: "vector", argv: argv.map(bytes) } });
      return overTheWire(encodeExecOperation({ ...value, env: [bytes("A=b=c")] }, []));
    };
    expect(encode(["ls", "-l", ""])).toMatchObject({
      command: "ls",
      args: ["-l", ""],
      env: { A: "b=c" },
    });
    expect(encode(["ls"])).toMatchObject({ command: "exec 'ls'" });
    expect(encode(["ls"])["args"]).toBeUndefined();
    expect(encode(["ls", "\xff"])["command"]).toContain("printf");
    expect(decodeExecOperation(encode(["ls", "-l"])).program).toEqual({
      kind: "go",
      command: "ls",
      args: ["-l"],
    });
  });

  test("is shown as it was written", () => {
    expect(showProgram({ kind: "vector", argv: ["a", "b c"].map(bytes) })).toBe("a b c");
    expect(showProgram({ kind: "shell-line", line: bytes("a | b") })).toBe("a | b");
    expect(showProgram({ kind: "go", command: "a", args: ["b"] })).toBe("a b");
  });
});

describe("the Go agent's command", () => {
  test("is always a line", () => {
    const options = { mayHaveArgs: false };
    const argv = ["echo", "a b"].map(bytes);
    expect(goCommandLine({ kind: "vector", argv }, options)).toEqual({
      command: "exec 'echo' 'a b'",
      args: [],
      env: {},
    });
    expect(goCommandLine({ kind: "shell-line", line: bytes("a|b") }, options).command).toBe("a|b");
    expect(goCommandLine({ kind: "login-shell" }, options).command).toContain("-l");
  });

  test("loses what a shell drops, sets or obeys", () => {
    const settings = ["A=1", "a.b=2", "OPTIND=x", "_X9=", "9X=1", "SHELLOPTS=n", "V=\xff"];
    expect(namesLostInShell(settings.map(bytes))).toEqual([
      "a.b",
      "OPTIND",
      "9X",
      "SHELLOPTS",
      "V",
    ]);
  });
});
