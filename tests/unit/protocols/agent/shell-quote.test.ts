import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  carryLine,
  quoteCommand,
  wordsOfLine,
} from "../../../../src/protocols/agent/shell-quote.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

/** What a real shell makes of the line: the arguments that `printf '%s\0'` receives. */
function runInShell(line: string): Uint8Array[] {
  const { stdout, exitCode } = Bun.spawnSync(["sh", "-c", line], { stderr: "inherit" });
  expect(exitCode).toBe(0);
  const words: Uint8Array[] = [];
  for (let rest: Uint8Array = stdout; rest.length > 0;) {
    const end = rest.indexOf(0);
    words.push(Uint8Array.from(rest.subarray(0, end)));
    rest = rest.subarray(end + 1);
  }
  return words;
}

describe("quoteCommand", () => {
  test("leaves plain words readable", () => {
    expect(quoteCommand(["ls", "-la", "/tmp/x"].map(bytes))).toBe("exec 'ls' -la /tmp/x");
  });

  test.each([
    ["blanks", ["a b", " ", "\t"]],
    ["quotes", ["it's", `"`, "'", "''"]],
    ["nothing", ["", ""]],
    ["expansions", ["$HOME", "`id`", "$(id)", "*", "~", "{a,b}", "!x"]],
    ["operators", [";", "&&", "|", ">", "<", "#x", "\\", "(", ")"]],
    ["newlines", ["a\nb\n", "\n", "\r\n"]],
    ["options", ["--", "-n", "-"]],
    ["Unicode", ["ünïcödé", "日本", "\u{1F600}", "\uFEFFbom"]],
  ])("a real shell gets %s unchanged", (_, words) => {
    const argv = ["printf", String.raw`%s\0`, ...words].map(bytes);
    expect(runInShell(quoteCommand(argv))).toEqual(words.map(bytes));
  });

  test("a real shell gets any bytes unchanged", () => {
    const word = fc
      .uint8Array({ maxLength: 12 })
      .map((value) => value.filter((byte) => byte !== 0));
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 6 }), (words) => {
        const argv = [bytes("printf"), bytes(String.raw`%s\0`), ...words];
        expect(runInShell(quoteCommand(argv))).toEqual(
          words.map((value) => Uint8Array.from(value)),
        );
      }),
      { numRuns: 150 },
    );
  });

  test("a first word is never an assignment, a keyword or an option of exec", () => {
    for (const name of ["A=1", "if", "-x"]) {
      const { exitCode } = Bun.spawnSync(["sh", "-c", quoteCommand([bytes(name)])], {
        stderr: "ignore",
      });
      expect(exitCode).toBe(127);
    }
  });
});

describe("carryLine", () => {
  test("leaves a line of ordinary length alone", () => {
    expect(carryLine("echo x")).toEqual({ command: "echo x", env: {} });
  });

  test("a real shell gets a vector of 1 MB unchanged, and no variable is left", () => {
    const words = Array.from(
      { length: 10 },
      (_, index) => `${"\u{1F600}' ü".repeat(11_000)}${index}`,
    );
    const program = String.raw`printf '%s\0' "$@"; env | grep -c _VSOCKBOX; exit 0`;
    const argv = ["sh", "-c", program, "sh", ...words].map(bytes);
    const { command, env } = carryLine(quoteCommand(argv));
    for (const value of [command, ...Object.values(env)])
      expect(bytes(value).length).toBeLessThan(131_000);
    const { stdout, exitCode } = Bun.spawnSync(["sh", "-c", command], {
      env: { ...process.env, ...env },
    });
    expect(exitCode).toBe(0);
    expect(stdout.toString()).toBe(`${words.join("\0")}\u{0}0\n`);
  });
});

describe("wordsOfLine", () => {
  test("is the other way round of quoteCommand, also of a line in pieces", () => {
    const words = fc.tuple(
      fc.string({ unit: "binary", minLength: 1 }),
      fc.array(fc.string({ unit: "binary" })),
    );
    fc.assert(
      fc.property(words, ([first, rest]) => {
        const argv = [first, ...rest].map((word) => word.toWellFormed().replaceAll("\0", "."));
        const line = quoteCommand(argv.map(bytes));
        expect(wordsOfLine(line, {})).toEqual(argv as [string, ...string[]]);
      }),
    );
    const long = ["echo", "x".repeat(50_000), "it's".repeat(30_000)] as const;
    const { command, env } = carryLine(quoteCommand(long.map(bytes)));
    expect(Object.keys(env).length).toBeGreaterThan(1);
    expect(wordsOfLine(command, env)).toEqual([...long]);
  });

  test.each([
    ["ls -la /tmp", ["ls", "-la", "/tmp"]],
    ["  /bin/true  ", ["/bin/true"]],
    ["exec date +%s", ["date", "+%s"]],
    [`echo "a b"'c'd`, ["echo", "a bcd"]],
    ["'exec' x", ["exec", "x"]],
    ["env A=1 b", ["env", "A=1", "b"]],
  ] as [string, [string, ...string[]]][])("reads %s", (line, words) => {
    expect(wordsOfLine(line, {})).toEqual(words);
  });

  test.each([
    "a; b",
    "a | b",
    "a && b",
    "a > f",
    "echo $HOME",
    "echo `id`",
    "echo *",
    "A=1 b",
    "(a)",
    "a\nb",
    "a \nb",
    "~/x",
    "a\\ b",
    "echo 'a",
    'echo "$HOME"',
    "",
    "exec",
  ])("leaves %j to a shell", (line) => {
    expect(wordsOfLine(line, {})).toBeUndefined();
  });
});
