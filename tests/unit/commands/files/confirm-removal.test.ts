import { expect, test } from "bun:test";
import { removalQuestion } from "../../../../src/commands/files/confirm-removal.ts";

test.each([
  ["file", "Remove 3:/a?"],
  ["directory", "Remove the directory 3:/a?"],
  ["link", "Remove the link 3:/a?"],
])("a %s is named in the question", (kind, question) => {
  expect(removalQuestion(kind, "3:/a")).toBe(question);
});

test("a name cannot move the cursor", () => {
  expect(removalQuestion("file", "3:/a\u001B[2J\n")).toBe(String.raw`Remove 3:/a\x1b[2J\n?`);
});
