import { describe, expect, test } from "bun:test";
import { ScreenModes } from "../../../../src/protocols/terminal/screen-modes.ts";

/** The resets, and whether the cursor is in the first column before and after them, however it is split. */
function follow(output: string): { resets: string; before: boolean; after: boolean } {
  const bytes = new TextEncoder().encode(output.replaceAll("^[", "\u001B"));
  const results = [[bytes], [...bytes].map((byte) => Uint8Array.of(byte))].map((chunks) => {
    const modes = new ScreenModes();
    for (const chunk of chunks) modes.push(chunk);
    const before = modes.isAtLineStart;
    const resets = modes.reset().replaceAll("\u001B", "^[").replaceAll("\u0018", "^X");
    expect(modes.reset()).toBe("");
    return { resets, before, after: modes.isAtLineStart };
  });
  expect(results[0]).toEqual(results[1] ?? { resets: "", before: true, after: true });
  return results[0] ?? { resets: "", before: true, after: true };
}

describe("ScreenModes", () => {
  test.each([
    ["plain text\r\n", ""],
    ["^[[?1049h", "^[[?1049l"],
    ["^[[?1049h^[[?1049l", ""],
    ["^[[?1049h^[[?1h^[=^[[?25l", "^[[?1l^[>^[[?1049l^[[?25h"],
    ["^[[?2004h$ ", "^[[?2004l"],
    ["^[[?2004h$ ls\r\n^[[?2004l", ""],
    ["^[[?1000;1002;1006h", "^[[?1000l^[[?1002l^[[?1006l"],
    ["^[[?1003h^[[?1015h^[[?1004h^[[?1003l", "^[[?1004l^[[?1015l"],
    ["^[[?9h^[[?1001h^[[?1005h^[[?1016h", "^[[?9l^[[?1001l^[[?1005l^[[?1016l"],
    ["^[[?47h", "^[[?47l"],
    ["^[[?1047h", "^[[?1047l"],
    ["^[[?7l", "^[[?7h"],
    ["^[[?5h^[[?66h^[[?2026h", "^[[?2026l^[[?66l^[[?5l"],
    ["^[[?25l^[[?25h", ""],
    ["^[[?12h^[[?4711h^[[4h", ""],
    ["^[[?1049$p^[[?1049r", ""],
    ["^[[>1049h", ""],
    ["^[[1;31mred", "^[[m"],
    ["^[[1;31mred^[[0m", ""],
    ["^[[1mred^[[m", ""],
    ["^[[0;7m", "^[[m"],
    ["^[[7;0m", ""],
    ["^[[>4;2m", ""],
    ["^[[1;10r", "^[7^[[r^[8"],
    ["^[[1;10r^[[r", ""],
    ["^[[?1049h^[[1;10r", "^[[r^[[?1049l"],
    ["^[=^[>", ""],
    ["^[[?1049h^[[?25l^[[1m^[=^[[1;5r^[c", ""],
    ["^[[?1h^[[?66h^[[?25l^[[?7l^[[1m^[=^[[1;5r^[[?2004h^[[!p", "^[[?2004l"],
    // Cut off in a sequence or a string: what comes next must not become a part of it.
    ["^[[?1049h^[[3", "^X^[[?1049l"],
    ["^[", "^X"],
    ["^[]0;title", "^[\\"],
    ["^[]0;[?1049h^Gnot ended", "^[\\"],
    ["^[]0;[?1049h\u0007", ""],
    ["^[P+q^[\\^[[?1h", "^[[?1l"],
    ["^[[?10\u001849h", ""],
    ["^[[?10\u001A49h", ""],
    ["^[[?10\r\n49h", "^[[?1049l"],
    ["^[[?1^[[?25l", "^[[?25h"],
    ["^[(B^[[?1h", "^[[?1l"],
  ])("after %j writes %j", (output, resets) => {
    expect(follow(output).resets).toBe(resets);
  });

  test.each([
    ["", true],
    ["x", false],
    ["x\r", true],
    ["x\r\n", true],
    ["x\n", false],
    ["x\r\n^[[?2004h", true],
    ["x\r\n\t", false],
    ["x\r\u0007\u0008", true],
    ["\u007F", true],
    ["ü\r", true],
    ["^[]0;title\u0007", true],
    ["^[(B", true],
    ["x^[[5;1H", true],
    ["x^[[H", true],
    ["x^[[5H", true],
    ["^[[5;2H", false],
    ["^[[2;7f", false],
    ["x^[[G", true],
    ["^[[8G", false],
    ["^[[3C", false],
    ["^[[I", false],
    ["x^[[E", true],
    ["x^[[2F", true],
    ["x^[E", true],
    ["x^[c", true],
    ["x^[[K", false],
    ["x^[[?1049h^[[H", true],
    ["x^[[?1049h^[[H^[[?1049l", false],
    ["x\r^[[?1049htext^[[?1049l", true],
  ])("after %j knows whether the cursor is in the first column: %p", (output, expected) => {
    expect(follow(output).before).toBe(expected);
  });

  test("knows the column to which the cursor returns from an alternate screen", () => {
    expect(follow("$ ^[[?1049h^[[Hx\r")).toMatchObject({ before: true, after: false });
    expect(follow("$ \r\n^[[?1049h^[[Hx")).toMatchObject({ before: false, after: true });
    expect(follow("$ ^[[?1049h^[[?47h\r^[[?1049h")).toMatchObject({ after: false });
  });

  test("ignores a sequence that is too long, and keeps none of it", () => {
    expect(follow(`^[[?${"1;".repeat(31)}1h`).resets).toBe("^[[?1l");
    expect(follow(`^[[?${"1;".repeat(32)}1h`).resets).toBe("");
    expect(follow(`^[[?${"1;".repeat(500_000)}1h^[[?25l`).resets).toBe("^[[?25h");
  });
});
