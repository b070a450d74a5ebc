import { expect, test } from "bun:test";
import { shellWord } from "../../../src/text/shell-word.ts";

test.each([
  "/run/a.vsock",
  "unix:/run/a",
  "a b",
  "it's",
  "$(reboot)",
  "a;b",
  "*",
  "",
  "~",
  "ä",
  "a\nb",
])("a shell reads %p back", (word) => {
  const { stdout } = Bun.spawnSync(["sh", "-c", `printf %s ${shellWord(word)}`]);
  expect(stdout.toString()).toBe(word);
});

test("plain words stay as they are", () => {
  expect(shellWord("hybrid:/run/vm_4.vsock:5000")).toBe("hybrid:/run/vm_4.vsock:5000");
  expect(shellWord("it's")).toBe("'it'\\''s'");
});
