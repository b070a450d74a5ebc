import { expect, test } from "bun:test";
import { commandText } from "../../../../src/commands/shared/target-prompt.ts";

test("a command line can be copied into a shell", () => {
  expect(commandText(["vsockbox", "exec", "web", "--", "echo", "a b", "$x"])).toBe(
    "vsockbox exec web -- echo 'a b' '$x'",
  );
});
