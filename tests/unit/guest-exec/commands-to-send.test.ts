import { expect, test } from "bun:test";
import { commandLines } from "../../../src/guest-exec/commands-to-send.ts";

async function* chunks(...texts: string[]) {
  for (const text of texts) yield new TextEncoder().encode(text);
}

async function lines(...texts: string[]): Promise<string[]> {
  const commands: string[] = [];
  for await (const line of commandLines(chunks(...texts), "input")) {
    commands.push(Buffer.from(line).toString());
  }
  return commands;
}

test.each([
  [["a\nb\n"], ["a", "b"]],
  [
    ["a", "b", "c\nd"],
    ["abc", "d"],
  ],
  [["\n \t\r\n\na b \n"], ["a b "]],
  [[""], []],
  [["no end"], ["no end"]],
  [["\n\n"], []],
  [["a\n\n\n"], ["a"]],
])("%j has the commands %j", async (texts, commands) => {
  expect(await lines(...texts)).toEqual(commands);
});

test("a line that no guest accepts is named, whether its end has come or not", () => {
  expect(lines("ok\n\n", `${"x".repeat(3000)}\n`)).rejects.toThrow(
    "send input, line 3: it has 3000 bytes",
  );
  expect(lines("ok\n", "x".repeat(1500), "x".repeat(1500))).rejects.toThrow(
    "input, line 2: it has more than 2048 bytes",
  );
  expect(lines("a\0b\n")).rejects.toThrow("input, line 1: it has a NUL byte");
});
